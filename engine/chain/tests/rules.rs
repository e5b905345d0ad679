//! What is refused: blocks, words, records and transactions that do not hold.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{Net, Random, new_chain, node_id, signing_key};
use duohuo_chain::certificate::CommitSignature;
use duohuo_chain::{Block, CommittedBlock, Embedded, Genesis, Ledger, Timing, Transfer};
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, HaltReason, Reception, Record, SubmitError, TransactionId, VoteKind,
};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::sign;

const START: Instant = Instant::from_nanos(1_000_000);

/// Three blocks with their certificates, and the hash of the state after them.
fn three_blocks() -> (Vec<Bytes>, [u8; 32]) {
    let mut net = Net::new(4, 7, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(2), |net| net.height(ClusterId(1)) >= 3));
    let blocks = net.master(ClusterId(1)).blocks[..3].to_vec();
    let mut chain = follower();
    for block in &blocks {
        chain.apply(START, block).unwrap();
    }
    (blocks, chain.status().state_hash)
}

fn follower() -> Embedded {
    new_chain(4, ClusterId(1), 2, Timing::default())
}

/// The bytes of a precommit, as spec/chain.md "Signatures" has them.
fn precommit_bytes(s: &CommitSignature, height: u64, round: u32, block: &[u8; 32]) -> Vec<u8> {
    let mut out = b"duohuo vote 1".to_vec();
    out.extend_from_slice(&[3; 16]);
    out.extend_from_slice(&s.cluster.0.to_be_bytes());
    out.extend_from_slice(&s.epoch.0.to_be_bytes());
    out.extend_from_slice(&s.node.0.to_be_bytes());
    out.extend_from_slice(&height.to_be_bytes());
    out.extend_from_slice(&round.to_be_bytes());
    out.extend_from_slice(&[2, 1]);
    out.extend_from_slice(block);
    out.extend_from_slice(&[0xff; 4]);
    out
}

fn signed_by(signer: NodeId, cluster: u32, epoch: u64, node: NodeId, block: &[u8; 32]) -> CommitSignature {
    let mut s =
        CommitSignature { cluster: ClusterId(cluster), epoch: Epoch(epoch), node, signature: [0; 64] };
    s.signature = sign::sign(&signing_key(signer), &precommit_bytes(&s, 1, 0, block));
    s
}

/// The first block with other signatures under it.
fn with_signatures(make: impl Fn(&[u8; 32]) -> Vec<CommitSignature>) -> Bytes {
    let (blocks, _) = three_blocks();
    let mut committed = CommittedBlock::decode(&blocks[0]).unwrap();
    committed.certificate.round = 0;
    committed.certificate.signatures = make(&committed.certificate.block);
    committed.encode()
}

fn master(cluster: u32) -> NodeId {
    node_id(ClusterId(cluster), 0)
}

fn honest(cluster: u32, block: &[u8; 32]) -> CommitSignature {
    signed_by(master(cluster), cluster, 1, master(cluster), block)
}

#[test]
fn a_certificate_of_a_quorum_made_by_hand_from_the_spec_is_accepted() {
    let block = with_signatures(|b| (1..=3).map(|c| honest(c, b)).collect());
    assert_eq!(follower().apply(START, &block), Ok(Height(1)));
}

#[test]
fn a_certificate_of_too_few_clusters_is_refused() {
    let block = with_signatures(|b| (1..=2).map(|c| honest(c, b)).collect());
    assert_eq!(follower().apply(START, &block), Err(BlockError::BadCertificate));
    let twice = with_signatures(|b| vec![honest(1, b), honest(2, b), honest(2, b)]);
    assert_eq!(follower().apply(START, &twice), Err(BlockError::BadCertificate));
}

#[test]
fn a_forged_signature_and_the_key_of_another_node_are_refused() {
    let forged = with_signatures(|b| {
        let mut third = honest(3, b);
        third.signature[5] ^= 1;
        vec![honest(1, b), honest(2, b), third]
    });
    assert_eq!(follower().apply(START, &forged), Err(BlockError::BadCertificate));
    // The standby's own key, under its own name: it is not the master of that epoch.
    let standby = node_id(ClusterId(3), 1);
    let other = with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(standby, 3, 1, standby, b)]);
    assert_eq!(follower().apply(START, &other), Err(BlockError::BadCertificate));
    // The standby's key under the master's name.
    let named = with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(standby, 3, 1, master(3), b)]);
    assert_eq!(follower().apply(START, &named), Err(BlockError::BadCertificate));
    // The key of another cluster's master.
    let alien =
        with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(master(4), 3, 1, master(4), b)]);
    assert_eq!(follower().apply(START, &alien), Err(BlockError::BadCertificate));
}

#[test]
fn the_older_epochs_key_verifies_only_what_it_signed_under_the_older_epoch() {
    let standby = node_id(ClusterId(3), 1);
    let mut chain = follower();
    chain.learn_grant(ClusterId(3), Epoch(2), standby);
    // The old master's key under the new epoch, and the new one's under the old.
    let old_key =
        with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(master(3), 3, 2, master(3), b)]);
    assert_eq!(chain.apply(START, &old_key), Err(BlockError::BadCertificate));
    let new_key = with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(standby, 3, 1, standby, b)]);
    assert_eq!(chain.apply(START, &new_key), Err(BlockError::BadCertificate));
    let old_word = with_signatures(|b| (1..=3).map(|c| honest(c, b)).collect());
    assert_eq!(chain.apply(START, &old_word), Ok(Height(1)));
}

#[test]
fn a_certificate_of_an_unknown_epoch_says_which_grant_is_missing() {
    let standby = node_id(ClusterId(3), 1);
    let block = with_signatures(|b| vec![honest(1, b), honest(2, b), signed_by(standby, 3, 9, standby, b)]);
    let mut chain = follower();
    assert_eq!(chain.apply(START, &block), Err(BlockError::UnknownGrant(ClusterId(3), Epoch(9))));
    chain.learn_grant(ClusterId(3), Epoch(9), standby);
    assert_eq!(chain.apply(START, &block), Ok(Height(1)));
}

#[test]
fn blocks_out_of_order_or_damaged_are_refused_and_change_nothing() {
    let (blocks, _) = three_blocks();
    let mut chain = follower();
    assert_eq!(chain.apply(START, &blocks[1]), Err(BlockError::Gap));
    assert_eq!(chain.apply(START, &Bytes::from_static(b"x")), Err(BlockError::Malformed));
    let mut committed = CommittedBlock::decode(&blocks[0]).unwrap();
    let mut block = Block::decode(&committed.block).unwrap();
    block.parent_commit_round = 7;
    committed.block = block.encode();
    assert_eq!(chain.apply(START, &committed.encode()), Err(BlockError::BadCertificate));
    block.parent = [1; 32];
    committed.block = block.encode();
    assert_eq!(chain.apply(START, &committed.encode()), Err(BlockError::WrongParent));
    assert_eq!(chain.status(), follower().status());
    chain.apply(START, &blocks[0]).unwrap();
    assert_eq!(chain.apply(START, &blocks[0]), Err(BlockError::Old));
}

#[test]
fn restored_and_applied_blocks_give_the_same_state() {
    let (blocks, state) = three_blocks();
    let mut chain = follower();
    for block in &blocks {
        chain.restore(block).unwrap();
    }
    assert_eq!(chain.status().state_hash, state);
}

/// A master's log and all it said up to a point in the middle of a height.
fn log_in_the_middle(seed: u64) -> (Vec<Bytes>, Vec<Record>) {
    for at in 40..120 {
        let mut net = Net::new(4, seed, Timing::default());
        let cluster = net.clusters.get_mut(&ClusterId(1)).unwrap();
        cluster.crash_at = Some(at);
        cluster.takeover_after = None;
        net.start();
        net.run(Duration::from_millis(200), |net| net.master(ClusterId(1)).is_dead);
        let node = net.master(ClusterId(1));
        let own = node.log.iter().filter(|r| r.bytes[0] == 4).count();
        if own >= 4 {
            return (node.blocks.clone(), node.log.clone());
        }
    }
    panic!("no crash point in the middle of a height");
}

fn outputs(chain: &mut Embedded) -> Vec<ChainOutput> {
    core::iter::from_fn(|| chain.poll_output()).collect()
}

fn lead_with(log: &[Record], blocks: &[Bytes]) -> (Embedded, Vec<ChainOutput>) {
    let mut chain = new_chain(4, ClusterId(1), 1, Timing::default());
    chain.learn_grant(ClusterId(1), Epoch(2), node_id(ClusterId(1), 1));
    for block in blocks {
        chain.restore(block).unwrap();
    }
    chain.lead(START, Epoch(2), log, Height(0));
    let said = outputs(&mut chain);
    (chain, said)
}

#[test]
fn a_successor_re_sends_recorded_words_under_the_older_epoch() {
    let (blocks, log) = log_in_the_middle(8);
    let (chain, said) = lead_with(&log, &blocks);
    let words: Vec<_> =
        said.iter()
            .filter_map(|o| {
                if let ChainOutput::Send { bytes, .. } = o { Some(chain.votes_in(bytes)) } else { None }
            })
            .flatten()
            .filter(|w| w.cluster == ClusterId(1))
            .collect();
    assert!(words.iter().any(|w| w.epoch == Epoch(1) && w.kind == VoteKind::Prevote), "{words:?}");
    assert!(!said.iter().any(|o| matches!(o, ChainOutput::Halt { .. })));
}

#[test]
fn leading_twice_says_the_same_words() {
    let (blocks, log) = log_in_the_middle(9);
    let (mut chain, first) = lead_with(&log, &blocks);
    chain.learn_grant(ClusterId(1), Epoch(3), node_id(ClusterId(1), 1));
    chain.lead(START, Epoch(3), &log, Height(0));
    let second = outputs(&mut chain);
    let words = |list: &[ChainOutput]| -> Vec<_> {
        list.iter()
            .filter_map(|o| {
                if let ChainOutput::Send { bytes, .. } = o { Some(chain.votes_in(bytes)) } else { None }
            })
            .flatten()
            .filter(|w| w.epoch == Epoch(1))
            .collect()
    };
    assert!(!words(&first).is_empty());
    assert_eq!(words(&first), words(&second));
}

#[test]
fn every_prefix_of_a_log_replays_without_a_second_word() {
    for seed in 8..28 {
        let (blocks, log) = log_in_the_middle(seed);
        let mut words = std::collections::BTreeMap::new();
        for end in (0..=log.len()).rev() {
            let (chain, said) = lead_with(&log[..end], &blocks);
            assert_eq!(halts(&said), vec![], "seed {seed}, {end} of {} entries", log.len());
            for output in &said {
                let ChainOutput::Send { bytes, .. } = output else {
                    continue;
                };
                for w in chain.votes_in(bytes).into_iter().filter(|w| w.cluster == ClusterId(1)) {
                    // What is in the log may be said in no other way; what was cut off is free.
                    if w.epoch == Epoch(1) {
                        let first = *words.entry((w.height, w.round, w.kind)).or_insert(w);
                        assert_eq!(first, w);
                    }
                }
            }
        }
    }
}

fn halts(said: &[ChainOutput]) -> Vec<HaltReason> {
    said.iter()
        .filter_map(|o| if let ChainOutput::Halt { reason } = o { Some(*reason) } else { None })
        .collect()
}

#[test]
fn a_log_that_cannot_be_read_halts_until_follow() {
    let (blocks, mut log) = log_in_the_middle(8);
    log[0].bytes = Bytes::from_static(&[9, 9]);
    let (mut chain, said) = lead_with(&log, &blocks);
    assert_eq!(halts(&said), vec![HaltReason::BadRecord]);
    assert!(matches!(said.last(), Some(ChainOutput::Halt { .. })));
    chain.lead(START, Epoch(3), &[], Height(0));
    chain.peer_up(START, ClusterId(2));
    chain.tick(START + Duration::from_secs(9));
    assert_eq!(outputs(&mut chain), vec![]);
    chain.follow();
    chain.lead(START, Epoch(3), &[], Height(0));
    assert!(!outputs(&mut chain).is_empty());
}

#[test]
fn a_log_whose_votes_do_not_follow_from_it_halts() {
    let (blocks, log) = log_in_the_middle(8);
    // Without what led to them, our own votes cannot come out of the replay.
    let own_votes: Vec<Record> = log.iter().filter(|r| r.bytes[0] == 4).cloned().collect();
    let (_, said) = lead_with(&own_votes, &blocks);
    assert_eq!(halts(&said), vec![HaltReason::ReplayDivergence]);
}

#[test]
fn a_log_with_two_different_words_of_ours_halts() {
    let (blocks, log) = log_in_the_middle(8);
    let own = |r: &&Record| {
        // A vote: tag, height, round, kind, value tag, value or none, cluster.
        r.bytes[0] == 4 && r.bytes[14] == 1 && r.bytes[47..51] == 1_u32.to_be_bytes()
    };
    let vote = log.iter().find(own).expect("an own vote for a value").clone();
    let mut other = vote.bytes.to_vec();
    other[20] ^= 1;
    let mut log = log;
    log.push(Record { bytes: other.into(), ..vote });
    let (_, said) = lead_with(&log, &blocks);
    assert_eq!(halts(&said), vec![HaltReason::DoubleSign]);
}

fn transfer(id: u8, valid_until: u64) -> Bytes {
    let transfer =
        Transfer { id: TransactionId([id; 16]), from: 1, to: 2, amount: 5, valid_until: Height(valid_until) };
    let mut out = Vec::new();
    transfer.encode(&mut out);
    out.into()
}

#[test]
fn a_transaction_is_taken_once_in_time_and_while_there_is_room() {
    let mut chain = new_chain(4, ClusterId(2), 0, Timing { max_pool: 3, ..Timing::default() });
    assert_eq!(chain.submit(START, &transfer(1, 10)), Err(SubmitError::PoolFull), "a follower takes nothing");
    chain.lead(START, Epoch(1), &[], Height(0));
    assert_eq!(chain.submit(START, &Bytes::from_static(b"no")), Err(SubmitError::Malformed));
    assert_eq!(chain.submit(START, &transfer(1, 0)), Err(SubmitError::Expired));
    assert_eq!(chain.submit(START, &transfer(1, 1_002)), Err(SubmitError::Expired));
    assert_eq!(chain.submit(START, &transfer(1, 1_001)), Ok(TransactionId([1; 16])));
    assert_eq!(chain.submit(START, &transfer(1, 1_001)), Ok(TransactionId([1; 16])));
    assert_eq!(chain.status().pool, 1);
    chain.submit(START, &transfer(2, 10)).unwrap();
    chain.submit(START, &transfer(3, 10)).unwrap();
    assert_eq!(chain.submit(START, &transfer(4, 10)), Err(SubmitError::PoolFull));
    chain.follow();
    assert_eq!(chain.status().pool, 0);
}

#[test]
fn a_committed_transaction_is_remembered_with_its_height_until_it_would_expire() {
    let mut net = Net::new(4, 10, Timing::default());
    net.submit_every = None;
    net.start();
    let bytes = transfer(1, 3);
    let now = net.now;
    net.call(ClusterId(2), |chain| chain.submit(now, &bytes)).unwrap();
    assert!(net.run(Duration::from_secs(2), |net| { net.ids().iter().all(|id| net.height(*id) == 1) }));
    assert_eq!(net.receipts, vec![(TransactionId([1; 16]), Height(1), true)]);
    assert_eq!(net.chain(ClusterId(4)).balance(2), 1_000_005);
    let again = net.call(ClusterId(2), |chain| chain.submit(now, &bytes));
    assert_eq!(again, Err(SubmitError::AlreadyCommitted(Height(1))));
    for id in 2..=3 {
        let more = transfer(id, 100);
        let now = net.now;
        net.call(ClusterId(2), |chain| chain.submit(now, &more)).unwrap();
        assert!(net.run(Duration::from_secs(2), |net| {
            net.ids().iter().all(|c| net.height(*c) == u64::from(id))
        }));
    }
    let late = net.call(ClusterId(2), |chain| chain.submit(now, &bytes));
    assert_eq!(late, Err(SubmitError::Expired));
}

fn ledger() -> Ledger {
    let clusters: Vec<ClusterId> = (1..=4).map(ClusterId).collect();
    Ledger::new([3; 16], &clusters, &Genesis { accounts: vec![(1, 100), (2, u64::MAX)] }, 0)
}

fn block_on(ledger: &Ledger, parent_commit_round: u32, transactions: Vec<Transfer>) -> Block {
    Block {
        height: ledger.height().next(),
        parent: ledger.last_block().0,
        proposer: ClusterId(1),
        parent_commit_round,
        transactions,
    }
}

fn move_amount(id: u8, from: u32, to: u32, amount: u64) -> Transfer {
    Transfer { id: TransactionId([id; 16]), from, to, amount, valid_until: Height(50) }
}

#[test]
fn balances_never_go_below_nothing_nor_above_what_fits() {
    let mut ledger = ledger();
    let list = vec![
        move_amount(1, 1, 3, 101),
        move_amount(2, 1, 2, 1),
        move_amount(3, 1, 1, 100),
        move_amount(4, 1, 3, 100),
        move_amount(5, 9, 3, 1),
    ];
    let block = block_on(&ledger, 0, list);
    assert!(ledger.accepts(&block));
    let applied: Vec<bool> =
        ledger.execute(Block::id_of(&block.encode()), &block).iter().map(|o| o.applied).collect();
    assert_eq!(applied, [false, false, true, true, false]);
    assert_eq!((ledger.balance(1), ledger.balance(2), ledger.balance(3)), (0, u64::MAX, 100));
}

#[test]
fn a_block_with_a_duplicate_or_expired_transaction_gets_no_vote_and_has_no_effect_twice() {
    let mut ledger = ledger();
    let one = move_amount(1, 1, 3, 10);
    let twice = block_on(&ledger, 0, vec![one, one]);
    assert!(!ledger.accepts(&twice));
    let expired = block_on(&ledger, 0, vec![Transfer { valid_until: Height(0), ..one }]);
    assert!(!ledger.accepts(&expired));
    let early = block_on(&ledger, 0, vec![Transfer { valid_until: Height(1_002), ..one }]);
    assert!(!ledger.accepts(&early));
    assert!(!ledger.accepts(&Block { proposer: ClusterId(9), ..block_on(&ledger, 0, vec![one]) }));
    let applied: Vec<bool> =
        ledger.execute(Block::id_of(&twice.encode()), &twice).iter().map(|o| o.applied).collect();
    assert_eq!(applied, [true, false]);
    assert_eq!(ledger.balance(3), 10);
    let again = block_on(&ledger, 0, vec![one]);
    assert!(!ledger.accepts(&again), "spent below");
}

#[test]
fn a_proposer_whose_round_failed_has_no_first_turn_for_sixty_four_heights() {
    let mut ledger = ledger();
    let step = |ledger: &mut Ledger, round: u32| {
        let block = block_on(ledger, round, vec![]);
        ledger.execute(Block::id_of(&block.encode()), &block);
    };
    let first = |ledger: &Ledger| ledger.turns()[0].0;
    // Height 1 starts the round robin at the second cluster.
    assert_eq!(first(&ledger), 2);
    step(&mut ledger, 0);
    assert_eq!(first(&ledger), 3);
    // Block 2 says that block 1 was decided in round 1: cluster 2 failed at height 1.
    step(&mut ledger, 1);
    for height in 3..=65 {
        assert_ne!(first(&ledger), 2, "at {height}");
        assert_eq!(ledger.turns().len(), 4);
        step(&mut ledger, 0);
    }
    let after: Vec<u32> = (66..70)
        .map(|_| {
            let turn = first(&ledger);
            step(&mut ledger, 0);
            turn
        })
        .collect();
    assert!(after.contains(&2), "{after:?}");
    // A lie about all of them skips nobody.
    step(&mut ledger, u32::MAX);
    assert_eq!(ledger.turns().len(), 4);
}

#[test]
fn the_second_cluster_has_a_turn_again_right_after_the_span() {
    let mut ledger = ledger();
    for round in [0, 1] {
        let block = block_on(&ledger, round, vec![]);
        ledger.execute(Block::id_of(&block.encode()), &block);
    }
    // Skipped through height 65 = 1 + 64; from 66 on the plain round robin: 66 mod 4 = 2, the third cluster.
    while ledger.height() < Height(65) {
        let block = block_on(&ledger, 0, vec![]);
        ledger.execute(Block::id_of(&block.encode()), &block);
    }
    let turns: Vec<u32> = ledger.turns().iter().map(|c| c.0).collect();
    assert_eq!(turns, [3, 4, 1, 2]);
}

#[test]
fn words_count_only_under_the_right_key_and_old_epochs_only_from_their_cluster() {
    // The second cluster proposes at height 1.
    let mut speaker = new_chain(4, ClusterId(2), 0, Timing::default());
    speaker.lead(START, Epoch(1), &[], Height(0));
    speaker.submit(START, &transfer(1, 100)).unwrap();
    let said = outputs(&mut speaker);
    let words: Vec<Bytes> = said
        .iter()
        .filter_map(|o| match o {
            ChainOutput::Send { bytes, .. } if !speaker.votes_in(bytes).is_empty() => Some(bytes.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(words.len(), 2, "a proposal and a prevote");
    let mut chain = new_chain(4, ClusterId(3), 0, Timing::default());
    chain.lead(START, Epoch(1), &[], Height(0));
    for word in &words {
        let mut forged = word.to_vec();
        let last = forged.len() - 1;
        forged[last - 3] ^= 1;
        assert_eq!(chain.receive(START, ClusterId(2), &forged.into()), Reception::Refused);
        // Nobody speaks in our own name, nor from outside the consortium.
        assert_eq!(chain.receive(START, ClusterId(3), word), Reception::Refused);
        assert_eq!(chain.receive(START, ClusterId(9), word), Reception::Refused);
    }
    chain.learn_grant(ClusterId(2), Epoch(2), node_id(ClusterId(2), 1));
    for word in &words {
        assert_eq!(
            chain.receive(START, ClusterId(4), word),
            Reception::Refused,
            "an old word from a third party"
        );
        assert_eq!(
            chain.receive(START, ClusterId(2), word),
            Reception::Taken,
            "an old word re-sent by its own cluster"
        );
    }
    let (blocks, _) = log_in_the_middle(8);
    let (mut further, _) = lead_with(&[], &blocks);
    further.learn_grant(ClusterId(2), Epoch(2), node_id(ClusterId(2), 1));
    assert!(further.status().height >= Height(1));
    for word in &words {
        assert_eq!(
            further.receive(START, ClusterId(4), word),
            Reception::Noticed,
            "a word of a height that is done offends nobody"
        );
    }
}

#[test]
fn log_entries_stand_before_the_words_they_imply() {
    let mut chain = new_chain(4, ClusterId(2), 0, Timing::default());
    chain.lead(START, Epoch(1), &[], Height(0));
    chain.submit(START, &transfer(1, 100)).unwrap();
    let mut logged = Vec::new();
    let mut words = 0;
    for output in outputs(&mut chain) {
        match output {
            ChainOutput::Log { bytes, .. } => logged.push(bytes.slice(1..)),
            ChainOutput::Send { bytes, .. } if !chain.votes_in(&bytes).is_empty() => {
                words += 1;
                assert!(logged.contains(&bytes.slice(1..)), "said before it was logged");
            }
            _ => {}
        }
    }
    assert_eq!(words, 2);
}

#[test]
fn garbage_never_panics_and_changes_nothing() {
    let mut random = Random(11);
    let mut net = Net::new(4, 12, Timing::default());
    net.start();
    net.run(Duration::from_millis(40), |_| false);
    let mut chain = new_chain(4, ClusterId(1), 0, Timing::default());
    chain.lead(START, Epoch(1), &[], Height(0));
    let _ = outputs(&mut chain);
    let (blocks, _) = three_blocks();
    for _ in 0..20_000 {
        let length = random.below(200);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.below(256).to_le_bytes()[0]).collect();
        if let Some(first) = bytes.first_mut() {
            *first = random.below(10).to_le_bytes()[0];
        }
        let bytes = Bytes::from(bytes);
        chain.receive(START, ClusterId(2), &bytes);
        let _ = chain.votes_in(&bytes);
        let _ = chain.submit(START, &bytes);
        let _ = chain.apply(START, &bytes);
        // A good block with one byte changed or cut short.
        let mut near = blocks[0].to_vec();
        let place = usize::try_from(random.below(near.len() as u64)).unwrap();
        near[place] ^= 1 << random.below(8);
        if random.below(2) == 0 {
            near.truncate(place);
        }
        assert!(chain.apply(START, &Bytes::from(near)).is_err());
    }
    assert!(halts(&outputs(&mut chain)).is_empty());
    assert_eq!(chain.status().height, Height(0));
}

#[test]
fn nothing_is_signed_up_to_a_closed_height() {
    let (blocks, log) = log_in_the_middle(8);
    let next = Height(blocks.len() as u64 + 1);
    for (closed, speaks) in [(next, false), (Height(next.0 - 1), true)] {
        let (mut chain, _) = lead_with(&[], &[]);
        chain.follow();
        for block in &blocks {
            chain.restore(block).unwrap();
        }
        chain.lead(START, Epoch(2), &log, closed);
        chain.tick(START + core::time::Duration::from_secs(5));
        let said = outputs(&mut chain);
        let signed = said.iter().any(|o| match o {
            ChainOutput::Log { .. } => true,
            ChainOutput::Send { bytes, .. } => !chain.votes_in(bytes).is_empty(),
            _ => false,
        });
        assert_eq!((signed, chain.is_working()), (speaks, speaks), "closed up to {closed}");
        assert!(!said.iter().any(|o| matches!(o, ChainOutput::Halt { .. })));
    }
}
