//! The tables: how a value lies in its row, and what is read and written in one transaction.

use super::{COMMIT_ROW, IDENTITY};
use bytes::Bytes;
use duohuo_core::io::{Table, Write};
use duohuo_wire::ids::Height;
use redb::{Database, Durability, ReadableDatabase, StorageError, TableDefinition};

pub(super) type Rows = TableDefinition<'static, u64, &'static [u8]>;

pub(super) const META: Rows = TableDefinition::new("meta");
pub(super) const RECORD: Rows = TableDefinition::new("record");
pub(super) const BLOCK: Rows = TableDefinition::new("block");
pub(super) const COMMAND: Rows = TableDefinition::new("command");
pub(super) const SNAPSHOT: Rows = TableDefinition::new("snapshot");
/// One transaction, with the settings of the module's page.
pub(super) fn begin(db: &Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(false);
    txn.set_quick_repair(false);
    Ok(txn)
}

pub(super) fn write<'a>(
    db: &Database,
    commit: u64,
    writes: impl Iterator<Item = &'a Write>,
) -> Result<(), redb::Error> {
    let txn = begin(db)?;
    {
        txn.open_table(IDENTITY)?.insert(COMMIT_ROW, commit.to_be_bytes().as_slice())?;
        let mut tables =
            [Table::Meta, Table::Record, Table::Block, Table::Command, Table::Snapshot].map(|t| (t, None));
        for write in writes {
            let wanted = match write {
                Write::Put { table, .. } | Write::DeleteRange { table, .. } => *table,
            };
            let Some((_, slot)) = tables.iter_mut().find(|(t, _)| *t == wanted) else { continue };
            let rows = match slot {
                Some(rows) => rows,
                None => slot.insert(txn.open_table(definition(wanted))?),
            };
            match write {
                Write::Put { key, value, .. } => {
                    rows.insert(*key, wrap_value(wanted, *key, value).as_slice())?;
                }
                Write::DeleteRange { from, to, .. } => rows.retain_in(*from..*to, |_, _| false)?,
            }
        }
    }
    txn.commit()?;
    Ok(())
}

pub(super) fn read_blocks(
    db: &Database,
    from: Height,
    max_bytes: u32,
) -> Result<Vec<(Height, Bytes)>, redb::Error> {
    let read = db.begin_read()?;
    let rows = read.open_table(BLOCK)?;
    let mut blocks = Vec::new();
    let mut bytes = 0usize;
    let mut expected = from.0;
    for row in rows.range(from.0..)? {
        let (key, value) = row?;
        let height = key.value();
        if height != expected {
            break;
        }
        let block = unwrap_value(Table::Block, height, value.value())
            .ok_or_else(|| StorageError::Corrupted(format!("block {height} does not match its checksum")))?;
        bytes += block.len();
        if bytes > max_bytes as usize && !blocks.is_empty() {
            break;
        }
        blocks.push((Height(height), block));
        expected = expected.saturating_add(1);
    }
    Ok(blocks)
}

pub(super) fn read_chunk(db: &Database, key: u64) -> Result<Bytes, redb::Error> {
    let read = db.begin_read()?;
    let rows = read.open_table(SNAPSHOT)?;
    let Some(value) = rows.get(key)? else { return Ok(Bytes::new()) };
    let chunk = unwrap_value(Table::Snapshot, key, value.value())
        .ok_or_else(|| StorageError::Corrupted(format!("piece {key} does not match its checksum")))?;
    Ok(chunk)
}

pub(super) fn definition(table: Table) -> Rows {
    match table {
        Table::Meta => META,
        Table::Record => RECORD,
        Table::Block => BLOCK,
        Table::Command => COMMAND,
        Table::Snapshot => SNAPSHOT,
    }
}

pub(super) fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta value",
        Table::Record => "record",
        Table::Block => "block",
        Table::Command => "command",
        Table::Snapshot => "piece of a snapshot",
    }
}

pub(super) fn checksum(table: Table, key: u64, value: &[u8]) -> [u8; 4] {
    let tag = match table {
        Table::Meta => 0u8,
        Table::Record => 1,
        Table::Block => 2,
        Table::Command => 3,
        Table::Snapshot => 4,
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[tag]);
    crc.update(&key.to_be_bytes());
    crc.update(value);
    crc.finalize().to_be_bytes()
}

pub(super) fn wrap_value(table: Table, key: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 4);
    bytes.extend_from_slice(&checksum(table, key, value));
    bytes.extend_from_slice(value);
    bytes
}

pub(super) fn unwrap_value(table: Table, key: u64, bytes: &[u8]) -> Option<Bytes> {
    let (crc, value) = bytes.split_first_chunk::<4>()?;
    (*crc == checksum(table, key, value)).then(|| Bytes::copy_from_slice(value))
}
