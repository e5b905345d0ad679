//! The audit of the committed blocks: whether all stores hold the same ones, and what became of each transfer.

use duohuo_chain::{Block, CommittedBlock};
use duohuo_core::store::lowest_block;
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_wire::ids::NodeId;
use std::collections::BTreeMap;
use std::path::Path;

/// What the committed blocks of all stores say.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Of the longest chain.
    pub height: u64,
    /// How often each transaction stands in the longest chain.
    pub counts: BTreeMap<[u8; 16], u64>,
    /// Two stores hold different blocks at one height.
    pub different_blocks: u64,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// Read the blocks of every store; the processes are stopped.
pub fn audit<'a>(stores: impl Iterator<Item = (NodeId, &'a Path)>, consortium: [u8; 16]) -> Audit {
    let mut audit = Audit::default();
    let mut blocks: BTreeMap<u64, [u8; 32]> = BTreeMap::new();
    for (node, path) in stores {
        if let Err(why) = read_store(node, path, consortium, &mut blocks, &mut audit) {
            audit.problems.push(why);
        }
    }
    audit.height = blocks.last_key_value().map_or(0, |(height, _)| *height);
    audit
}

fn read_store(
    node: NodeId,
    path: &Path,
    consortium: [u8; 16],
    blocks: &mut BTreeMap<u64, [u8; 32]>,
    audit: &mut Audit,
) -> Result<(), String> {
    let store = OpenStore::open(path, Identity { consortium, node }, OpenMode::Existing)
        .map_err(|e| e.to_string())?;
    let stored = store.load().map_err(|e| e.to_string())?;
    let lowest = lowest_block(&stored.meta).map_err(|e| e.to_string())?;
    store
        .blocks(lowest, |height, bytes| {
            let committed = CommittedBlock::decode(&bytes).ok_or("not a committed block")?;
            let id = Block::id_of(&committed.block).0;
            match blocks.get(&height.0) {
                Some(known) if *known == id => {}
                Some(_) => audit.different_blocks += 1,
                None => {
                    blocks.insert(height.0, id);
                    let block = Block::decode(&committed.block).ok_or("not a block")?;
                    for transfer in &block.transactions {
                        *audit.counts.entry(transfer.id.0).or_default() += 1;
                    }
                }
            }
            Ok(())
        })
        .map_err(|e| e.to_string())?;
    Ok(())
}

/// Transfers at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transactions {
    /// Different ones.
    pub submitted: u64,
    /// Of them, in the chain.
    pub committed: u64,
    /// Of them, not in the chain.
    pub lost: u64,
    /// Of them, in the chain more than once.
    pub duplicated: u64,
}

impl Transactions {
    /// `counts` is the audit's.
    #[must_use]
    pub fn count(ids: &[[u8; 16]], counts: &BTreeMap<[u8; 16], u64>) -> Self {
        let mut t = Self { submitted: ids.len() as u64, ..Self::default() };
        for id in ids {
            match counts.get(id).copied().unwrap_or(0) {
                0 => t.lost += 1,
                1 => t.committed += 1,
                _ => {
                    t.committed += 1;
                    t.duplicated += 1;
                }
            }
        }
        t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_that_is_missing_is_lost_and_one_that_is_there_twice_is_duplicated() {
        let counts = BTreeMap::from([([1; 16], 1), ([2; 16], 2)]);
        assert_eq!(
            Transactions::count(&[[1; 16], [2; 16], [3; 16]], &counts),
            Transactions { submitted: 3, committed: 2, lost: 1, duplicated: 1 }
        );
    }
}
