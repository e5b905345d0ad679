//! The client's library against a real network (spec/clients.md).

use crate::network::{Network, PATIENCE, eventually, run, text};
use duohuo_chain::{Block, Transfer};
use duohuo_client::{Answer, ClientFailure, Network as Client, Ticket};
use duohuo_core::chain::TransactionId;
use duohuo_rig::access::Access;
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{Packet, Submit, SubmitVerdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

pub(crate) fn client(network: &Network) -> Client {
    let access = Access::from_config(&network.path("net/client.toml")).expect("the client's files");
    Client::new(access.roster, access.credentials)
}

pub(crate) fn transfer(id: u8, amount: u64) -> Transfer {
    let id = TransactionId([id; 16]);
    Transfer { id, from: 1, to: 2, amount, valid_until: Height(900) }
}

/// Of the one cluster, as the newest row says that the client has heard.
fn master(client: &Client) -> NodeId {
    client.trust().masters().first().expect("known").1
}

fn balance(client: &mut Client, account: u32) -> u64 {
    let question = bytes::Bytes::copy_from_slice(&account.to_be_bytes());
    let state = client.ask(question, PATIENCE).expect("an answer");
    u64::from_be_bytes(state.answer.expect("known")[..].try_into().expect("a balance"))
}

#[test]
fn a_transfer_comes_back_with_its_proof_and_an_id_is_carried_out_once() {
    let network = Network::new(2);
    let (_authority, _nodes) = network.start(&[101, 102]);
    let mut client = client(&network);
    let before = balance(&mut client, 1);
    let receipt = client.commit(transfer(1, 5), PATIENCE).expect("committed");
    assert!(receipt.applied);
    // The proof holds what it says, at the place that it says.
    let block = Block::decode(&receipt.block.block).expect("a block");
    assert_eq!((block.height, receipt.block.certificate.height), (receipt.height, receipt.height));
    assert_eq!(block.transactions[receipt.index], transfer(1, 5));
    assert_eq!(receipt.block.certificate.signatures.len(), 1, "one cluster, one signature");
    // Again, and again with another amount: the same place, and nothing moves twice.
    let again = client.commit(transfer(1, 5), PATIENCE).expect("committed");
    assert_eq!((again.height, &again.transaction), (receipt.height, &transfer(1, 5)));
    let other = client.commit(transfer(1, 7), PATIENCE).expect("committed");
    assert_eq!((other.height, &other.transaction), (receipt.height, &transfer(1, 5)));
    eventually("executed", || (balance(&mut client, 1) == before - 5).then_some(()));
    // What the payer has not got is committed without effect; what came too late is told so.
    let poor = client.commit(transfer(2, u64::MAX), PATIENCE).expect("committed");
    assert!(!poor.applied);
    let late = Transfer { valid_until: receipt.height, ..transfer(3, 1) };
    assert!(matches!(client.commit(late, PATIENCE), Err(ClientFailure::Expired)));
    // A block by its height, verified; one that is not there yet.
    let block = client.block(receipt.height, PATIENCE).expect("an answer").expect("it is there");
    assert_eq!(block, receipt.block);
    assert_eq!(client.block(Height(800), PATIENCE).expect("an answer"), None);
}

/// A client with the roster of yesterday, whose cluster is led by a node that was enrolled today.
#[test]
fn a_client_whose_roster_lacks_the_master_is_told_to_bring_a_newer_one() {
    let network = Network::new(2);
    let (_authority, _nodes) = network.start(&[101, 102]);
    let mut client = client(&network);
    let before = client.commit(transfer(1, 5), PATIENCE).expect("committed");
    let leads = master(&client);
    let access = Access::from_config(&network.path("net/client.toml")).expect("the client's files");
    let mut yesterday = access.roster.clone();
    yesterday.clusters[0].nodes.retain(|node| node.id != leads);
    let mut client = Client::new(yesterday.clone(), access.credentials);
    let failure = client.commit(transfer(2, 5), Duration::from_secs(2)).expect_err("nobody takes it");
    let ClientFailure::OldRoster { version, master, .. } = &failure else { panic!("{failure:?}") };
    assert_eq!((*version, *master), (yesterday.version, leads));
    let said = failure.to_string();
    assert!(said.contains("expected the newest roster"), "{said}");
    // Nothing is lost by it: with the roster of today the next is committed.
    let mut client = self::client(&network);
    assert!(client.commit(transfer(2, 5), PATIENCE).expect("committed").height > before.height);
}

fn committed_at(packet: Packet) -> Option<Height> {
    let Packet::SubmitAnswer(answer) = packet else { return None };
    assert!(matches!(answer.verdict, SubmitVerdict::Committed | SubmitVerdict::Refused), "{answer:?}");
    Some(answer.height)
}

/// Larger than the default by far, and on a machine that is fast enough 4 MiB: one record of the log, one push to the
/// standby, one answer to the client. `engine/chain/tests/large.rs` has the size to the byte.
#[test]
fn a_block_of_some_mebibytes_passes_the_log_the_standby_and_the_client() {
    let network = Network::new(2);
    let chain = "[chain]\nblock_interval_ms = 5000\nmax_pool = 200000\nmax_block_transactions = 1000000\nmax_block_bytes = 4194304\n[timers]";
    let slow = |path: &Path| network.edit(path, "keepalive_interval_ms = 50", "keepalive_interval_ms = 1000");
    slow(&network.path("net/authority/authority.toml"));
    for id in [101, 102] {
        let file = network.node_file(id, "node.toml");
        network.edit(&file, "[timers]", chain);
        // At 50 ms the master lost its role here, by the block or by the flood (spec/chain.md).
        slow(&file);
    }
    let (_authority, nodes) = network.start(&[101, 102]);
    // The first block begins the interval in which the pool fills. However fast this machine is, it fills: the next one waits
    // for the standby, who stands still meanwhile.
    let mut library = client(&network);
    library.commit(transfer(1, 1), PATIENCE).expect("committed");
    let access = Access::from_config(&network.path("net/load.toml")).expect("the client's files");
    let leads = master(&library);
    let standby = if leads == NodeId(101) { &nodes[1] } else { &nodes[0] };
    standby.signal(rustix::process::Signal::STOP);
    let master = access.nodes().into_iter().find(|server| server.id == leads).expect("in the roster");
    let mut link = access.connect(&master, PATIENCE).expect("connected");
    let count = 105_000u32;
    let mut heights = Vec::new();
    for n in 0..count {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let mut bytes = Vec::new();
        Transfer { id: TransactionId(id), ..transfer(2, 1) }.encode(&mut bytes);
        let submit = Submit { request: n.into(), transaction: bytes.into(), ..Default::default() };
        link.send(&submit.into()).expect("sent");
        while n % 500 == 0
            && let Some(packet) = link.recv(Duration::ZERO).expect("connected")
        {
            heights.extend(committed_at(packet));
        }
    }
    standby.signal(rustix::process::Signal::CONT);
    while heights.len() < count as usize {
        let answered = heights.len();
        eventually("some more are answered", || {
            while let Some(packet) = link.recv(Duration::from_millis(1)).expect("connected") {
                heights.extend(committed_at(packet));
            }
            (heights.len() > answered).then_some(())
        });
    }
    heights.dedup();
    let sizes: Vec<usize> = heights
        .iter()
        .map(|height| library.block(*height, PATIENCE).expect("an answer").expect("there").block.len())
        .collect();
    assert!(sizes.iter().any(|size| *size > 1 << 20), "larger than the default: {sizes:?}");
    println!("{sizes:?}");
    eventually("the standby has them all", || {
        let [master, standby] = [101, 102].map(|id| network.status_of(id)["height"].clone());
        (master == standby && master.is_u64()).then_some(())
    });
}

/// Polls until so many are committed; which, where, and the blocks that came meanwhile.
fn poll_all(client: &mut Client, count: usize) -> (BTreeMap<Ticket, Height>, Vec<Height>) {
    let (mut committed, mut blocks) = (BTreeMap::new(), Vec::new());
    eventually("all committed, and their blocks here", || {
        while let Some(answer) = client.poll(Duration::from_millis(1)) {
            match answer {
                Answer::Committed(ticket, receipt) => {
                    assert_eq!(committed.insert(ticket, receipt.height), None, "one answer for each");
                }
                Answer::Block(height, _) => blocks.push(height),
                other => panic!("{other:?}"),
            }
        }
        let highest = committed.values().max().copied();
        (committed.len() == count && blocks.last().copied() >= highest).then_some(())
    });
    (committed, blocks)
}

#[test]
fn who_polls_has_an_answer_for_each_transaction_and_each_block_once_in_order() {
    let network = Network::new(2);
    let (_authority, _nodes) = network.start(&[101, 102]);
    let mut client = client(&network);
    client.subscribe(Height(1));
    let tickets: BTreeSet<Ticket> = (1..=200).map(|id| client.submit(transfer(id, 1))).collect();
    assert_eq!(client.waiting(), 200);
    let (committed, blocks) = poll_all(&mut client, 200);
    assert_eq!(committed.keys().copied().collect::<BTreeSet<_>>(), tickets);
    assert_eq!(client.waiting(), 0);
    let expected: Vec<Height> = (1..=blocks.len() as u64).map(Height).collect();
    assert_eq!(blocks, expected, "each height once, in order");
}

#[test]
fn a_full_pool_says_try_later_and_nothing_is_dropped() {
    let network = Network::new(2);
    for id in [101, 102] {
        network.edit(
            &network.node_file(id, "node.toml"),
            "[timers]",
            "[chain]\nmax_pool = 10\nmax_block_transactions = 5\n[timers]",
        );
    }
    let (_authority, _nodes) = network.start(&[101, 102]);
    let mut client = client(&network);
    client.subscribe(Height(1));
    let tickets: Vec<Ticket> = (1..=100).map(|id| client.submit(transfer(id, 1))).collect();
    let (committed, _) = poll_all(&mut client, tickets.len());
    assert!(client.told_later() > 0, "the pool was full");
    let mut in_blocks: BTreeMap<Height, usize> = BTreeMap::new();
    committed.values().for_each(|height| *in_blocks.entry(*height).or_default() += 1);
    assert!(in_blocks.values().all(|count| *count <= 5), "{in_blocks:?}");
}

#[test]
fn a_client_follows_a_failover_by_itself_and_misses_no_block() {
    let network = Network::new(3);
    let (_authority, mut nodes) = network.start(&[101, 102, 103]);
    let mut client = client(&network);
    client.subscribe(Height(1));
    for id in 1..=20 {
        client.submit(transfer(id, 1));
    }
    let (_, mut blocks) = poll_all(&mut client, 20);
    let before = master(&client);
    // Some are on their way when the master dies: killed, no word to anybody.
    for id in 21..=40 {
        client.submit(transfer(id, 1));
    }
    let first = client.poll(Duration::from_millis(1));
    drop(nodes.remove(before.0 as usize - 101));
    for id in 41..=60 {
        client.submit(transfer(id, 1));
    }
    // Whatever was said before the kill counts.
    let early = match first {
        None => 0,
        Some(Answer::Committed(..)) => 1,
        Some(Answer::Block(height, _)) => {
            blocks.push(height);
            0
        }
        Some(other) => panic!("{other:?}"),
    };
    let (committed, more) = poll_all(&mut client, 40 - early);
    assert_eq!(committed.len() + early, 40);
    blocks.extend(more);
    let expected: Vec<Height> = (1..=blocks.len() as u64).map(Height).collect();
    assert_eq!(blocks, expected, "each height once, in order, across the failover");
    assert_ne!(master(&client), before);
}

#[test]
fn who_was_away_is_waited_for_with_a_bar_until_it_has_caught_up() {
    let network = Network::new(3);
    let (_authority, mut nodes) = network.start(&[101, 102, 103]);
    nodes.pop().expect("103").stop();
    let mut client = client(&network);
    for id in 1..=80 {
        client.commit(transfer(id, 1), PATIENCE).expect("committed");
    }
    let config = network.file("net/client.toml");
    let wait = |seconds: &str| {
        run(&["wait", "caught-up", "--node", "a3", "--timeout", seconds, "--config", &config])
    };
    let absent = wait("1");
    assert_eq!(absent.status.code(), Some(1));
    assert!(text(&absent.stderr).starts_with("a3  does not answer\n"), "{}", text(&absent.stderr));
    nodes.push(network.node(103, &[]));
    let there = wait("30");
    let told = text(&there.stderr);
    assert_eq!(there.status.code(), Some(0), "{told}");
    assert!(eventually("height", || network.status_of(103)["height"].as_u64().filter(|h| *h >= 60)) >= 60);
    let usage = run(&["wait", "caught-up", "--config", &config]);
    assert_eq!(usage.status.code(), Some(2), "a node must be named");
}
