//! Who is master and who was, as the authority signed it; and the blocks that follow from it.

use bytes::Bytes;
use duohuo_chain::{CommittedBlock, Verifier};
use duohuo_core::chain::BlockError;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{History, Packet};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::{self, VerifyingKey};
use duohuo_wire::statement::SignedRow;
use std::collections::BTreeMap;

/// What a client believes.
pub struct Trust {
    authority: Option<VerifyingKey>,
    rows: BTreeMap<ClusterId, SignedRow>,
    verifier: Verifier,
}

impl Trust {
    /// The roster, and nothing that was signed since.
    #[must_use]
    pub fn new(roster: &Roster) -> Self {
        Self {
            authority: sign::verifying_key(&roster.authority.signing_key),
            rows: BTreeMap::new(),
            verifier: Verifier::new(roster),
        }
    }

    /// Takes a row or a history in if the authority signed it; whether the packet was one of these and genuine.
    pub fn learn(&mut self, packet: &Packet) -> bool {
        match packet {
            Packet::Notice(notice) => self.learn_row(&notice.row),
            Packet::History(history) => self.learn_history(history),
            _ => false,
        }
    }

    fn learn_row(&mut self, signed: &SignedRow) -> bool {
        if !self.authority.as_ref().is_some_and(|key| signed.verify(key)) {
            return false;
        }
        let row = &signed.row;
        self.verifier.learn_grant(row.cluster, row.epoch, row.master);
        let known = self.rows.get(&row.cluster).map(|known| (known.row.epoch, known.row.version));
        if known.is_none_or(|known| known < (row.epoch, row.version)) {
            self.rows.insert(row.cluster, signed.clone());
        }
        true
    }

    fn learn_history(&mut self, history: &History) -> bool {
        if !self.authority.as_ref().is_some_and(|key| history.verify(key)) {
            return false;
        }
        for (epoch, node) in (history.first_epoch.0..).zip(&history.nodes) {
            self.verifier.learn_grant(history.cluster, Epoch(epoch), *node);
        }
        true
    }

    /// The acting masters, as far as is known.
    #[must_use]
    pub fn masters(&self) -> Vec<(ClusterId, NodeId)> {
        let acts = |signed: &&SignedRow| !signed.row.barred.contains(&signed.row.master);
        self.rows.values().filter(acts).map(|signed| (signed.row.cluster, signed.row.master)).collect()
    }

    /// A committed block whose certificate holds.
    ///
    /// # Errors
    /// See [`Verifier::verify`].
    pub fn verify(&mut self, block: &Bytes) -> Result<CommittedBlock, BlockError> {
        self.verifier.verify(block)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use duohuo_wire::ids::Version;
    use duohuo_wire::packet::Notice;
    use duohuo_wire::roster::Party;
    use duohuo_wire::sign::SigningKey;
    use duohuo_wire::statement::Row;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn trust() -> Trust {
        let address = "127.0.0.1:1".parse().unwrap();
        let signing_key = key(1).verifying_key().to_bytes();
        Trust::new(&Roster {
            consortium: [1; 16],
            version: 1,
            authority: Party { address, session_key: [0; 32], signing_key },
            clusters: Vec::new(),
            clients: Vec::new(),
            signature: [0; 64],
        })
    }

    fn notice(epoch: u64, version: u64, master: u32, signer: u8) -> Packet {
        let row = Row {
            cluster: ClusterId(7),
            epoch: Epoch(epoch),
            version: Version(version),
            master: NodeId(master),
            in_sync: vec![NodeId(master)],
            barred: Vec::new(),
            unfenced: false,
            table_version: 1,
        };
        Notice { row: SignedRow::sign(row, &key(signer)), ..Default::default() }.into()
    }

    #[test]
    fn the_newest_row_that_the_authority_signed_names_the_master() {
        let mut trust = trust();
        assert!(trust.learn(&notice(2, 0, 71, 1)));
        assert!(trust.learn(&notice(3, 0, 72, 1)));
        assert!(trust.learn(&notice(2, 5, 71, 1)), "an older row is genuine and changes nothing");
        assert_eq!(trust.masters(), [(ClusterId(7), NodeId(72))]);
    }

    #[test]
    fn a_row_that_somebody_else_signed_is_not_believed() {
        let mut trust = trust();
        assert!(!trust.learn(&notice(2, 0, 71, 2)));
        assert_eq!(trust.masters(), []);
    }
}
