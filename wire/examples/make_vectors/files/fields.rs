//! Packets and statements as JSON: the names of the fields are those of the drawings in spec/wire.md.

use core::{fmt::Debug, net::SocketAddr};

use bytes::Bytes;
use duohuo_wire::{
    header::Header,
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, RoomId, Version},
    packet::{
        ChangeKind, ClaimReason, Heard, JoinVerdict, NodeSealedId, Outcome, Packet, QueryScope,
        RegisterVerdict, Role, Row, SignedResult, SignedRow, SignedSwitch, SubmitVerdict, WireRecord,
    },
    roster::{ClientEntry, ClusterEntry, NodeEntry, Party, Roster},
    sealed_id::SealedClaims,
    status::{NeighbourStatus, StatusReport},
    tlv::Extensions,
};

use super::json::{J, obj};

/// How a value is shown.
pub(crate) trait Show {
    fn show(&self) -> J;
}

macro_rules! fields {
    ($value:expr; $($field:ident),* $(,)?) => {
        J::Object(vec![$((stringify!($field), $value.$field.show())),*])
    };
}

macro_rules! shown {
    ($($ty:ty: $($field:ident),*;)*) => {$(
        impl Show for $ty {
            fn show(&self) -> J {
                fields!(self; $($field),*)
            }
        }
    )*};
}

shown! {
    NodeSealedId: node, sealed_id;
    WireRecord: height, epoch, bytes;
    Heard: node, sequence;
    Row: cluster, epoch, version, master, in_sync, barred, unfenced, table_version;
    SignedResult: cluster, node, epoch, height, hash, signature;
    SignedSwitch: cluster, epoch, old_master, height, proven, signature;
    NeighbourStatus: node, alive, role, priority, height, age_us;
    StatusReport: role, node, cluster, epoch, version, master, in_sync, barred, height, state_hash, pool,
        neighbours, discards, authority_up, standby, halted, uptime_ms, rows, conflicts;
    Party: address, session_key, signing_key;
    NodeEntry: id, name, room, priority, address, session_key, signing_key;
    ClusterEntry: id, name, group, nodes;
    ClientEntry: id, name, session_key;
    Roster: consortium, version, authority, clusters, clients, signature;
    SealedClaims: cluster, node, registration_epoch, serial, issued, expires;
}

macro_rules! numbers {
    ($($ty:ty)*; $($big:ty)*; $($id:ty)*; $($code:ty)*) => {
        $(impl Show for $ty { fn show(&self) -> J { J::Number(u64::from(*self)) } })*
        $(impl Show for $big { fn show(&self) -> J { J::Text(self.to_string()) } })*
        $(impl Show for $id { fn show(&self) -> J { self.0.show() } })*
        $(impl Show for $code { fn show(&self) -> J { name(self) } })*
    };
}
numbers! {
    u8 u16 u32; u64;
    ClusterId NodeId Epoch Height LogIndex RoomId Version;
    ChangeKind ClaimReason JoinVerdict Outcome QueryScope RegisterVerdict Role SubmitVerdict
}

/// An enum value by its name.
fn name(value: &impl Debug) -> J {
    J::Text(format!("{value:?}"))
}

impl Show for bool {
    fn show(&self) -> J {
        J::Bool(*self)
    }
}

impl Show for String {
    fn show(&self) -> J {
        J::text(self)
    }
}

impl<const N: usize> Show for [u8; N] {
    fn show(&self) -> J {
        J::hex(self)
    }
}

impl Show for Bytes {
    fn show(&self) -> J {
        J::hex(self)
    }
}

impl Show for SocketAddr {
    fn show(&self) -> J {
        J::Text(self.to_string())
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> J {
        self.as_ref().map_or(J::Null, Show::show)
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> J {
        J::List(self.iter().map(Show::show).collect())
    }
}

impl Show for (String, u64) {
    fn show(&self) -> J {
        obj! { "label": self.0.show(), "count": self.1.show() }
    }
}

impl Show for SignedRow {
    fn show(&self) -> J {
        match self.row.show() {
            J::Object(mut pairs) => {
                pairs.push(("signature", self.signature.show()));
                J::Object(pairs)
            }
            other => other,
        }
    }
}

impl Show for Extensions {
    fn show(&self) -> J {
        J::List(
            self.iter().map(|(kind, value)| obj! { "type": kind.show(), "value": value.show() }).collect(),
        )
    }
}

impl Show for Header {
    fn show(&self) -> J {
        obj! {
            "type": self.packet_type.show(), "flags": self.flags.show(), "length": self.length.show(),
            "session": self.session.show(), "sequence": self.sequence.show(), "sender": self.sender.show(),
            "group": self.group.show(),
        }
    }
}

impl Show for Packet {
    fn show(&self) -> J {
        let mut shown = fixed(self);
        if let (J::Object(pairs), false) = (&mut shown, self.extensions().is_empty()) {
            pairs.push(("extensions", self.extensions().show()));
        }
        shown
    }
}

fn fixed(packet: &Packet) -> J {
    match packet {
        Packet::HandshakeInit(p) => fields!(p; initiator_session, noise, mac1, mac2),
        Packet::HandshakeResponse(p) => fields!(p; initiator_session, responder_session, noise, mac1),
        Packet::Cookie(p) => fields!(p; initiator_session, cookie),
        Packet::Join(p) => fields!(p; request, cluster, roster_version),
        Packet::JoinAnswer(p) => fields!(p; request, verdict, roster_version, sealed_id),
        Packet::Register(p) => fields!(p; request, cluster),
        Packet::Registered(p) => fields!(p; request, verdict, registration_epoch, sealed_ids),
        Packet::Update(p) => {
            fields!(p; request, cluster, epoch, version, reason, alive, height, sealed_id)
        }
        Packet::Change(p) => fields!(p; request, cluster, epoch, version, kind, node),
        Packet::Notice(p) => fields!(p; request, outcome, table_version, row),
        Packet::MasterKeepalive(p) => fields!(p; cluster, epoch, height, challenge, table_version),
        Packet::MasterKeepaliveAnswer(p) => fields!(p; challenge, epoch, table_version),
        Packet::Query(p) => fields!(p; request, scope, cluster, since),
        Packet::ConsensusError(p) => fields!(p; request, height, evidence),
        Packet::ForcedSwitch(p) => fields!(p; order),
        Packet::Probe(p) => fields!(p; nonce, epoch),
        Packet::ProbeAnswer(p) => fields!(p; nonce, role, epoch),
        Packet::RosterPush(p) => fields!(p; roster),
        Packet::History(p) => fields!(p; cluster, first_epoch, nodes, signature),
        Packet::NodeKeepalive(p) => fields!(p; cluster, priority, role, in_sync, interval_us, epoch, version,
            promised, log_end, height, address, heard),
        Packet::GroupKey(p) => fields!(p; cluster, generation, secret, master, signature),
        Packet::RegistrationSync(p) => fields!(p; cluster, registration_epoch, sealed_ids),
        Packet::Resync(p) => fields!(p; epoch, height, start, records),
        Packet::Append(p) => fields!(p; epoch, start, released, records),
        Packet::Ack(p) => fields!(p; epoch, end, height, synced),
        Packet::BlockPush(p) => fields!(p; height, block),
        Packet::ChainQuery(p) => fields!(p; from, max_bytes),
        Packet::ChainEnd(p) => fields!(p; height),
        Packet::Consensus(p) => fields!(p; cluster, epoch, message),
        Packet::Submit(p) => fields!(p; request, transaction),
        Packet::SubmitAnswer(p) => fields!(p; request, verdict, height, master),
        Packet::StatusQuery(p) => fields!(p; request),
        Packet::StatusAnswer(p) => fields!(p; request, report),
        Packet::Watch(p) => fields!(p; request, kinds),
        Packet::Event(p) => {
            fields!(p; at_unix_us, kind, cluster, node, epoch, height, round, detail, hash, signature)
        }
        Packet::Unsupported(p) => fields!(p; packet_type, critical_tlv),
    }
}
