use super::super::OpenMode;
use super::*;
use bytes::Bytes;
use duohuo_core::io::Write;
use duohuo_core::store::{META_LOG_END, META_PROMISE, META_REGISTERING};
use duohuo_wire::ids::Height;

const OLD: Identity = Identity { consortium: [0xab; 16], node: NodeId(101) };
const NEW: Identity = Identity { consortium: [0xab; 16], node: NodeId(103) };

fn put(table: Table, key: u64, value: &'static [u8]) -> Write {
    Write::Put { table, key, value: Bytes::from_static(value) }
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A store whose owner said much, and its copy.
    fn with_copy() -> Self {
        let bench = Self(tempfile::tempdir().expect("a directory"));
        let path = bench.path("old.redb");
        let store = OpenStore::open(&path, OLD, OpenMode::Create).expect("a store");
        let writes = [
            put(Table::Meta, META_PROMISE, b"promise"),
            put(Table::Meta, META_LOG_END, b"end"),
            put(Table::Meta, META_REGISTERING, b"mark"),
            put(Table::Meta, META_LOWEST_BLOCK, b"lowest"),
            put(Table::Meta, META_SNAPSHOTS[0], b"snapshot"),
            put(Table::Record, 7, b"a vote"),
            put(Table::Command, 1, b"a command"),
            put(Table::Block, 1, b"one"),
            put(Table::Block, 2, b"two"),
            put(Table::Snapshot, 1 << 32, b"piece"),
        ];
        super::super::rows::write(&store.db, 1, writes.iter()).expect("written");
        store.copy_chain(&bench.path("copy")).expect("a copy");
        bench
    }

    fn restore(&self) -> Result<(), StoreError> {
        Restoring::begin(&self.path("new.redb"), NEW, &self.copy()?)?.finish()
    }

    fn copy(&self) -> Result<ChainCopy, StoreError> {
        ChainCopy::open(&self.path("copy"))
    }
}

#[test]
fn b_log_10_a_restored_store_holds_the_chain_and_nothing_that_its_owner_said() {
    let bench = Bench::with_copy();
    bench.restore().expect("restored");
    let store = OpenStore::open(&bench.path("new.redb"), NEW, OpenMode::Existing).expect("a store");
    let stored = store.load().expect("it is sound");
    assert_eq!(stored.meta.keys().copied().collect::<Vec<_>>(), [META_SNAPSHOTS[0], META_LOWEST_BLOCK]);
    assert!(stored.records.is_empty() && stored.commands.is_empty());
    let mut blocks = Vec::new();
    let last = store.blocks(Height(1), |height, block| {
        blocks.push((height.0, block));
        Ok(())
    });
    assert_eq!(last.expect("no gap"), Height(2));
    assert_eq!(blocks, [(1, Bytes::from_static(b"one")), (2, Bytes::from_static(b"two"))]);
}

#[test]
fn b_log_10_a_copy_is_never_opened_as_a_store_nor_a_store_as_a_copy() {
    let bench = Bench::with_copy();
    assert!(matches!(
        OpenStore::open(&bench.path("copy"), OLD, OpenMode::Existing),
        Err(StoreError::Damaged { .. })
    ));
    let store = ChainCopy::open(&bench.path("old.redb")).expect_err("a store").to_string();
    assert!(store.contains("no copy that duohuo backup made"), "{store}");
    let missing = ChainCopy::open(&bench.path("nothing")).expect_err("nothing").to_string();
    assert!(missing.contains("the file is missing"), "{missing}");
    std::fs::write(bench.path("text"), "hello").expect("write");
    assert!(matches!(ChainCopy::open(&bench.path("text")), Err(StoreError::NoCopy { .. })));
}

#[test]
fn nothing_is_ever_written_over() {
    let bench = Bench::with_copy();
    let store = OpenStore::open(&bench.path("old.redb"), OLD, OpenMode::Existing).expect("it is sound");
    let before = std::fs::read(bench.path("copy")).expect("read");
    assert!(store.copy_chain(&bench.path("copy")).is_err(), "there is a copy");
    assert_eq!(std::fs::read(bench.path("copy")).expect("read"), before);
    drop(store);
    let copy = bench.copy().expect("a copy");
    assert!(matches!(Restoring::begin(&bench.path("old.redb"), OLD, &copy), Err(StoreError::Exists { .. })));
}

#[test]
fn a_store_that_is_gone_but_for_its_witness_is_not_restored_under_its_number() {
    let bench = Bench::with_copy();
    let path = bench.path("old.redb");
    Witness::open(&path).expect("a witness").saw(9).expect("written");
    std::fs::remove_file(&path).expect("lost");
    let refused = Restoring::begin(&path, OLD, &bench.copy().expect("a copy")).expect_err("refused");
    assert!(refused.to_string().contains("9 commits were in it"), "{refused}");
}

#[test]
fn a_copy_of_another_consortium_and_a_damaged_one_make_no_store() {
    let bench = Bench::with_copy();
    let other = Identity { consortium: [0xcd; 16], node: NodeId(103) };
    let path = bench.path("new.redb");
    let copy = bench.copy().expect("a copy");
    assert!(matches!(Restoring::begin(&path, other, &copy), Err(StoreError::Foreign { .. })));
    drop(copy);
    {
        let db = builder().open(bench.path("copy")).expect("opened");
        let txn = begin(&db).expect("a transaction");
        txn.open_table(BLOCK).expect("blocks").insert(2, b"\0\0\0\0two".as_slice()).expect("changed");
        txn.commit().expect("written");
    }
    let refused = bench.restore().expect_err("refused").to_string();
    assert!(refused.contains("block 2 does not match its checksum"), "{refused}");
    assert!(!path.exists(), "no store was made");
}

#[test]
fn a_restore_that_was_cut_short_leaves_no_store_and_can_be_tried_again() {
    let bench = Bench::with_copy();
    let begun = Restoring::begin(&bench.path("new.redb"), NEW, &bench.copy().expect("a copy"));
    drop(begun.expect("begun"));
    assert!(matches!(
        OpenStore::open(&bench.path("new.redb"), NEW, OpenMode::Existing),
        Err(StoreError::Missing { .. })
    ));
    bench.restore().expect("restored");
}
