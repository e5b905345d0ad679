//! The register as a real network: the example's own program, the client's library, and nothing of the account ledger.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use duohuo_client::Network;
use duohuo_core::chain::TransactionId;
use duohuo_example_register::Deed;
use duohuo_rig::access::Access;
use duohuo_rig::layout::Layout;
use duohuo_rig::network::{Network as Files, Settings};
use duohuo_rig::processes::Processes;
use duohuo_wire::ids::{Height, NodeId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn deed(number: u8, name: &str) -> Deed {
    Deed {
        id: TransactionId([number; 16]),
        valid_until: Height(900),
        name: name.as_bytes().to_vec(),
        digest: [number; 32],
    }
}

#[test]
fn a_network_of_the_register_commits_deeds_proves_them_and_survives_its_master() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net");
    let layout = Layout::spread(1, 3, 4_890);
    let files = Files::create(&path, &layout, Settings { keepalive_interval_ms: 50, drill: false }).unwrap();
    let mut processes = Processes::new(env!("CARGO_BIN_EXE_register").into(), Vec::new());
    processes.start(&files, NodeId::AUTHORITY).unwrap();
    for node in [101, 102, 103] {
        processes.start(&files, NodeId(node)).unwrap();
    }
    let access = Access::from_config(&path.join("client.toml")).unwrap();
    let mut client: Network<Deed> = Network::new(access.roster.clone(), access.credentials.clone());
    let first = client.commit(deed(1, "house 7"), PATIENCE).unwrap();
    assert!(first.applied);
    assert_eq!(first.transaction, deed(1, "house 7"));
    let second = client.commit(deed(2, "house 7"), PATIENCE).unwrap();
    assert!(!second.applied, "whoever enters a name first owns it");
    let state = client.ask(Bytes::from_static(b"house 7"), PATIENCE).unwrap();
    assert_eq!(state.answer.as_deref(), Some(&[1; 32][..]));
    // All three are in sync before one may be missed.
    let until = std::time::Instant::now() + PATIENCE;
    let whole = || {
        let report = access.status(&access.authority(), Duration::from_secs(1)).ok();
        report.is_some_and(|report| report.rows.iter().all(|row| row.in_sync.len() == 3))
    };
    while !whole() {
        assert!(std::time::Instant::now() < until, "{:?}", processes.fallen());
        std::thread::sleep(Duration::from_millis(50));
    }
    let master = client.trust().masters().first().unwrap().1;
    processes.kill(&[master].into());
    assert!(client.commit(deed(3, "house 8"), PATIENCE).unwrap().applied);
    let state = client.ask(Bytes::from_static(b"house 7"), PATIENCE).unwrap();
    assert_eq!(state.answer.as_deref(), Some(&[1; 32][..]), "the successor has it");
}
