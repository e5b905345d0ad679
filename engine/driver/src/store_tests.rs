use super::rows::wrap_value;
use super::*;
use duohuo_core::io::Write;
use mio::{Events, Poll, Token, Waker};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

const OURS: Identity = Identity { consortium: [0xab; 16], node: NodeId(101) };

fn put(table: Table, key: u64, value: &'static [u8]) -> Write {
    Write::Put { table, key, value: Bytes::from_static(value) }
}

struct Bench {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("node.redb");
        Self { _directory: directory, path }
    }

    fn create(&self) -> OpenStore {
        OpenStore::open(&self.path, OURS, OpenMode::Create).expect("a new store")
    }

    fn reopen(&self) -> Result<OpenStore, StoreError> {
        OpenStore::open(&self.path, OURS, OpenMode::Existing)
    }
}

fn start(store: OpenStore) -> (Poll, Store) {
    let poll = Poll::new().expect("poll");
    let waker = Arc::new(Waker::new(poll.registry(), Token(4)).expect("waker"));
    let store = store.start(waker).expect("the thread");
    (poll, store)
}

fn await_completion(poll: &mut Poll, store: &mut Store) -> Completion {
    store.flush();
    let mut events = Events::with_capacity(4);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(done) = store.completion() {
            return done;
        }
        assert!(Instant::now() < until, "no completion");
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("poll");
    }
}

fn await_token(poll: &mut Poll, store: &mut Store, wanted: u64) {
    let mut last = 0;
    while last < wanted {
        match await_completion(poll, store) {
            Completion::Persisted { token } => {
                assert!(token > last, "tokens grow");
                last = token;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_persisted_is_there_after_reopening_in_order_and_whole() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    store.persist(
        1,
        vec![put(Table::Meta, 1, b"promise"), put(Table::Record, 5, b"five"), put(Table::Block, 1, b"one")],
    );
    store.persist(
        2,
        vec![put(Table::Record, 6, b"six"), put(Table::Block, 2, b"two"), put(Table::Command, 1, b"grant")],
    );
    store.persist(
        3,
        vec![
            Write::DeleteRange { table: Table::Record, from: 0, to: 6 },
            put(Table::Meta, 1, b"promise again"),
        ],
    );
    await_token(&mut poll, &mut store, 3);
    assert!(store.is_idle());
    drop(store);

    let store = bench.reopen().expect("it opens again");
    let stored = store.load().expect("it is whole");
    assert_eq!(stored.meta, BTreeMap::from([(1, Bytes::from_static(b"promise again"))]));
    assert_eq!(stored.records, BTreeMap::from([(6, Bytes::from_static(b"six"))]));
    assert_eq!(stored.commands, BTreeMap::from([(1, Bytes::from_static(b"grant"))]));
    let mut blocks = Vec::new();
    let last = store.blocks(Height(1), |height, block| {
        blocks.push((height, block));
        Ok(())
    });
    assert_eq!(last.expect("no gap"), Height(2));
    assert_eq!(blocks, [(Height(1), Bytes::from_static(b"one")), (Height(2), Bytes::from_static(b"two"))]);
}

#[test]
fn many_batches_become_durable_in_the_order_of_their_tokens_with_fewer_completions() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    for token in 1..=300u64 {
        store.persist(
            token,
            vec![Write::Put {
                table: Table::Record,
                key: 0,
                value: Bytes::copy_from_slice(&token.to_be_bytes()),
            }],
        );
        store.flush();
    }
    let mut completions = 0;
    let mut last = 0;
    while last < 300 {
        match await_completion(&mut poll, &mut store) {
            Completion::Persisted { token } => {
                assert!(token > last);
                last = token;
                completions += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(completions < 300, "{completions} commits for 300 batches: not grouped");
    drop(store);
    let stored = bench.reopen().and_then(|s| s.load()).expect("it opens again");
    assert_eq!(stored.records.get(&0).map(|v| v.to_vec()), Some(300u64.to_be_bytes().to_vec()));
}

#[test]
fn what_was_asked_before_a_flush_shares_a_commit() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    for token in 1..=3 {
        store.persist(token, vec![put(Table::Record, token, b"word")]);
    }
    assert!(store.completion().is_none() && !store.is_idle());
    assert_eq!(await_completion(&mut poll, &mut store), Completion::Persisted { token: 3 });
    store.persist(4, vec![put(Table::Record, 4, b"the last")]);
    drop(store);
    assert_eq!(
        bench.reopen().expect("whole").load().expect("read").records.len(),
        4,
        "nothing that was asked is lost by ending"
    );
}

#[test]
fn blocks_are_read_without_a_gap_and_within_the_bound_but_at_least_one() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    store.persist(1, [1, 2, 3, 5].map(|height| put(Table::Block, height, &[7; 100])).to_vec());
    await_token(&mut poll, &mut store, 1);
    let mut read = |from, max_bytes| {
        store.read(9, Height(from), max_bytes);
        match await_completion(&mut poll, &mut store) {
            Completion::Blocks { token: 9, blocks } => {
                blocks.into_iter().map(|(h, _)| h.0).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(1, 1_000_000), [1, 2, 3]);
    assert_eq!(read(2, 200), [2, 3]);
    assert_eq!(read(2, 199), [2]);
    assert_eq!(read(1, 0), [1]);
    assert_eq!(read(4, 1_000_000), [0u64; 0]);
    assert_eq!(read(5, 1_000_000), [5]);
}

#[test]
fn a_store_of_somebody_else_is_refused() {
    let bench = Bench::new();
    drop(bench.create());
    let theirs = Identity { node: NodeId(102), ..OURS };
    let error = OpenStore::open(&bench.path, theirs, OpenMode::Existing).expect_err("it is not theirs");
    assert_eq!(
        error.to_string(),
        format!(
            "store {}: it belongs to node 101 of consortium abababababababababababababababab, expected node 102 of consortium \
             abababababababababababababababab; check `store` and `node` in the configuration: a store must never be copied or lent \
             to another node",
            bench.path.display()
        )
    );
    let authority = Identity { node: NodeId::AUTHORITY, ..OURS };
    assert!(matches!(
        OpenStore::open(&bench.path, authority, OpenMode::Existing),
        Err(StoreError::Foreign { .. })
    ));
}

#[test]
fn a_missing_store_is_refused_and_so_is_a_second_first_start() {
    let bench = Bench::new();
    let error = bench.reopen().expect_err("there is none");
    assert!(matches!(error, StoreError::Missing { .. }));
    let text = error.to_string();
    assert!(
        text.contains("node.redb") && text.contains("--init") && text.contains("duohuo roster replace"),
        "{text}"
    );
    drop(bench.create());
    assert!(matches!(OpenStore::open(&bench.path, OURS, OpenMode::Create), Err(StoreError::Exists { .. })));
}

#[test]
fn two_processes_on_one_store_are_refused() {
    let bench = Bench::new();
    let _first = bench.create();
    assert!(matches!(bench.reopen(), Err(StoreError::Locked { .. })));
}

#[test]
fn a_value_that_does_not_match_its_checksum_is_refused_by_name() {
    let bench = Bench::new();
    let store = bench.create();
    let txn = store.db.begin_write().expect("txn");
    {
        let mut rows = txn.open_table(RECORD).expect("table");
        let mut value = wrap_value(Table::Record, 17, b"vote");
        if let Some(last) = value.last_mut() {
            *last ^= 1;
        }
        rows.insert(17, value.as_slice()).expect("insert");
    }
    txn.commit().expect("commit");
    let error = store.load().expect_err("damaged");
    assert!(error.to_string().contains("damaged: record 17 does not match its checksum"), "{error}");
    // the same bytes under another key are damage too
    assert_eq!(
        unwrap_value(Table::Record, 17, &wrap_value(Table::Record, 17, b"x")),
        Some(Bytes::from_static(b"x"))
    );
    assert_eq!(unwrap_value(Table::Record, 18, &wrap_value(Table::Record, 17, b"x")), None);
    assert_eq!(unwrap_value(Table::Block, 17, &wrap_value(Table::Record, 17, b"x")), None);
    assert_eq!(unwrap_value(Table::Block, 17, b"abc"), None);
}

#[test]
fn a_gap_in_the_blocks_is_refused() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    store.persist(1, vec![put(Table::Block, 1, b"one"), put(Table::Block, 3, b"three")]);
    await_token(&mut poll, &mut store, 1);
    drop(store);
    let error = bench.reopen().expect("opens").blocks(Height(1), |_, _| Ok(())).expect_err("a gap");
    assert!(error.to_string().contains("after block 1 comes block 3"), "{error}");
}

#[test]
fn a_torn_file_is_refused() {
    for (name, tear) in [
        (
            "cut short",
            (|file: &mut std::fs::File| file.set_len(5000).expect("cut")) as fn(&mut std::fs::File),
        ),
        ("overwritten", |file| {
            file.seek(SeekFrom::Start(0)).expect("seek");
            file.write_all(&[0x5a; 64]).expect("write");
        }),
        ("flipped in the middle", |file| {
            let length = file.metadata().expect("metadata").len();
            let mut at = 4096;
            while at + 64 < length {
                file.seek(SeekFrom::Start(at + 16)).expect("seek");
                file.write_all(&[0x5a; 32]).expect("write");
                at += 4096;
            }
        }),
    ] {
        let bench = Bench::new();
        let (mut poll, mut store) = start(bench.create());
        store.persist(1, (1..=200).map(|h| put(Table::Block, h, &[9; 500])).collect());
        await_token(&mut poll, &mut store, 1);
        drop(store);
        let mut file = std::fs::OpenOptions::new().write(true).read(true).open(&bench.path).expect("open");
        tear(&mut file);
        drop(file);
        let error = bench.reopen().and_then(|s| {
            s.load()?;
            s.blocks(Height(1), |_, _| Ok(())).map(|_| ())
        });
        let text = error.expect_err(name).to_string();
        assert!(text.contains("node.redb") && text.contains("damaged"), "{name}: {text}");
    }
}

/// A copy of a store as a kill -9 leaves it, with 20 commits of which the witness saw all.
fn killed() -> (Bench, Vec<u8>) {
    let running = Bench::new();
    let (mut poll, mut store) = start(running.create());
    for token in 1..=20 {
        store.persist(token, vec![put(Table::Record, token, &[7; 300]), put(Table::Block, token, &[9; 900])]);
        await_token_of(&mut poll, &mut store, token);
    }
    let copy = Bench::new();
    for name in ["node.redb", "node.redb.witness"] {
        let from = running.path.with_file_name(name);
        std::fs::copy(&from, copy.path.with_file_name(name)).expect("copy");
    }
    let bytes = std::fs::read(&copy.path).expect("read");
    (copy, bytes)
}

fn await_token_of(poll: &mut Poll, store: &mut Store, token: u64) {
    assert_eq!(await_completion(poll, store), Completion::Persisted { token });
}

/// What `bench` holds, if it opens.
fn promised(bench: &Bench) -> Result<(usize, u64), StoreError> {
    let store = bench.reopen()?;
    Ok((store.load()?.records.len(), store.blocks(Height(1), |_, _| Ok(()))?.0))
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_harmless_but_nothing_is_ever_forgotten() {
    let (bench, whole) = killed();
    assert_eq!(promised(&bench).expect("whole"), (20, 20));
    let (mut refused, mut harmless) = (0, 0);
    for page in 0..whole.len() / 512 {
        let at = page * 512 + 100;
        let mut bytes = whole.clone();
        *bytes.get_mut(at).expect("inside") ^= 0x40;
        std::fs::write(&bench.path, &bytes).expect("write");
        match promised(&bench) {
            Ok(all) => {
                assert_eq!(all, (20, 20), "byte {at}");
                harmless += 1;
            }
            Err(StoreError::Damaged { path, .. }) => {
                assert_eq!(path, bench.path);
                assert!(
                    std::fs::read(&bench.path).expect("read") == bytes,
                    "byte {at}: the file was changed"
                );
                refused += 1;
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(refused > 20 && harmless > 20, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_store_that_went_back_is_refused_and_so_is_one_without_its_witness() {
    let bench = Bench::new();
    let (mut poll, mut store) = start(bench.create());
    store.persist(1, vec![put(Table::Record, 1, b"one")]);
    await_token_of(&mut poll, &mut store, 1);
    drop(store);
    let old = std::fs::read(&bench.path).expect("read");
    let (mut poll, mut store) = start(bench.reopen().expect("opens"));
    store.persist(1, vec![put(Table::Record, 2, b"two")]);
    await_token_of(&mut poll, &mut store, 1);
    drop(store);
    drop(bench.reopen().expect("opens"));

    std::fs::write(&bench.path, &old).expect("an old copy");
    let text = bench.reopen().expect_err("it went back").to_string();
    assert!(text.contains("it ends with commit 1, but commit 2 was durable"), "{text}");
    assert_eq!(std::fs::read(&bench.path).expect("read"), old);
    std::fs::remove_file(&bench.path).expect("remove");
    let error = OpenStore::open(&bench.path, OURS, OpenMode::Create).expect_err("it was there once");
    assert!(error.to_string().contains("the file is gone, but 2 commits were in it"), "{error}");

    std::fs::write(&bench.path, &old).expect("an old copy");
    let witness = bench.path.with_file_name("node.redb.witness");
    std::fs::write(&witness, b"abc").expect("write");
    assert!(
        bench.reopen().expect_err("broken").to_string().contains("the .witness file beside it is broken")
    );
    std::fs::remove_file(&witness).expect("remove");
    assert!(
        bench.reopen().expect_err("missing").to_string().contains("the .witness file beside it is missing")
    );
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let bench = Bench::new();
    std::fs::write(&bench.path, b"hello, I am a text file and no store at all\n").expect("write");
    let error = bench.reopen().expect_err("no store");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

/// `cargo test -p duohuo-driver --release -- --ignored --nocapture commit_latency`
#[test]
#[ignore = "a measurement"]
fn commit_latency() {
    let settings = [("one-phase", false), ("quick repair", true)];
    let benches = settings.map(|_| Bench::new());
    let stores: Vec<_> = benches.iter().map(Bench::create).collect();
    let mut spans = [Vec::new(), Vec::new()];
    // turn by turn, so that other load on the disk meets both
    for key in 0..2000u64 {
        for ((store, (_, quick)), spans) in stores.iter().zip(settings).zip(&mut spans) {
            let begun = Instant::now();
            let mut txn = begin(&store.db).expect("txn");
            txn.set_quick_repair(quick);
            {
                let mut rows = txn.open_table(RECORD).expect("table");
                rows.insert(key, [5u8; 300].as_slice()).expect("insert");
            }
            txn.commit().expect("commit");
            spans.push(begun.elapsed().as_micros());
        }
    }
    for (mut spans, (name, _)) in spans.into_iter().zip(settings) {
        spans.sort_unstable();
        println!("{name}: median {:?} p99 {:?} max {:?} us", spans.get(1000), spans.get(1980), spans.last());
    }
}
