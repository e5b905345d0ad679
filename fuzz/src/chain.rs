//! What a chain's bytes may be: transfers, blocks, and the messages of the consensus from a master that lies.

use std::sync::LazyLock;

use bytes::Bytes;
use duohuo_chain::{Block, CommittedBlock, Embedded, EmbeddedConfig, Genesis, Timing, Transfer};
use duohuo_core::{
    Instant,
    chain::{Chain, ChainOutput},
};
use duohuo_tests::consortium::{Consortium, Place, cluster_id, node};
use duohuo_wire::ids::{Epoch, Height};

use crate::draw::Draw;

/// Transfers and blocks: what is read whole encodes to itself.
pub(crate) fn codec(data: &[u8]) {
    if let Some(transfer) = Transfer::decode(data) {
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        assert_eq!(bytes, data);
    }
    if let Some(block) = Block::decode(data) {
        assert_eq!(&block.encode()[..], data);
    }
    if let Some(committed) = CommittedBlock::decode(&Bytes::copy_from_slice(data)) {
        assert_eq!(&committed.encode()[..], data);
        let _ = Block::decode(&committed.block);
    }
}

static CONSORTIUM: LazyLock<Consortium> = LazyLock::new(|| {
    let pair: &[Place] = &[(1, 200), (2, 150)];
    Consortium::new(7, &[pair; 4])
});

/// A validator among four that is told anything: it answers with bounded work, and commits nothing alone.
pub(crate) fn validator(data: &[u8]) {
    let me = node(0, 0);
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster: cluster_id(0),
        node: me,
        signing_key: CONSORTIUM.keys[&me].signing.clone(),
        roster: CONSORTIUM.roster.clone(),
        genesis: Genesis { accounts: (0..4).map(|account| (account, 1_000)).collect() },
        timing: Timing::default(),
    });
    let mut now = Instant::from_nanos(1);
    for cluster in 0..4 {
        chain.learn_grant(cluster_id(cluster), Epoch(1), node(cluster, 0));
    }
    chain.lead(now, Epoch(1), &[], Height(0));
    let mut draw = Draw::new(data);
    let mut said: Vec<Bytes> = Vec::new();
    while !draw.is_empty() {
        match draw.byte() % 8 {
            0..3 => {
                let message = Bytes::copy_from_slice(draw.long());
                let _ = chain.receive(now, cluster_id(1 + usize::from(draw.byte() % 3)), &message);
                let _ = chain.votes_in(&message);
            }
            // Its own words come back, as they were or damaged.
            3 => {
                let at = usize::from(draw.byte());
                if let Some(message) = said.get(at % said.len().max(1)) {
                    let message = Bytes::from(crate::edits::damage(message, &mut draw));
                    let _ = chain.receive(now, cluster_id(1 + usize::from(draw.byte() % 3)), &message);
                }
            }
            4 => {
                let transfer = Transfer {
                    id: duohuo_core::chain::TransactionId(draw.array()),
                    from: u32::from(draw.byte() % 6),
                    to: u32::from(draw.byte() % 6),
                    amount: draw.near(7),
                    valid_until: Height(draw.near(100)),
                };
                let mut bytes = Vec::new();
                transfer.encode(&mut bytes);
                let _ = chain.submit(now, &bytes.into());
            }
            5 => drop(chain.apply(now, &Bytes::copy_from_slice(draw.long()))),
            6 => chain.peer_up(now, cluster_id(1 + usize::from(draw.byte() % 3))),
            _ => {
                let wanted = chain.poll_timeout().unwrap_or(now);
                now = now.max(wanted) + core::time::Duration::from_millis(u64::from(draw.byte()));
                chain.tick(now);
            }
        }
        let mut outputs = 0;
        while let Some(output) = chain.poll_output() {
            outputs += 1;
            assert!(outputs < 10_000, "one input causes bounded work");
            match output {
                ChainOutput::Send { bytes, .. } => said.push(bytes),
                ChainOutput::Commit { .. } => panic!("one validator of four commits nothing alone"),
                _ => {}
            }
        }
        said.truncate(64);
    }
}
