//! What a packet holds, as names and values: the names are those of the tables in spec/wire.md, the shape that of the
//! `fields` in spec/vectors.
//!
//! The one list of fields: the vectors are written from it, and whoever shows packets to people uses it. It names each
//! field of each struct, or it does not compile.

use core::{fmt, fmt::Debug, net::SocketAddr};

use bytes::Bytes;

use crate::{
    header::Header,
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, RoomId, Version},
    packet::{
        Ack, Append, BlockAnswer, BlockPush, BlockQuery, ChainEnd, ChainQuery, Change, ChangeKind,
        ClaimReason, Consensus, ConsensusError, Cookie, DecisionKind, DecisionReason, Event, Fence,
        FenceAnswer, Fenced, ForcedSwitch, GroupKey, HandshakeInit, HandshakeResponse, Heard, History, Join,
        JoinAnswer, JoinVerdict, Journal, JournalEntry, JournalQuery, MasterKeepalive, MasterKeepaliveAnswer,
        NodeKeepalive, NodeSealedId, Notice, Order, OrderAnswer, OrderKind, OrderOutcome, Outcome, Packet,
        Probe, ProbeAnswer, Query, QueryScope, RangeQuery, Register, RegisterVerdict, Registered,
        RegistrationSync, Resync, Role, RosterPush, Row, SignedOrder, SignedResult, SignedRow, SignedSwitch,
        SnapshotChunk, SnapshotOffer, SnapshotQuery, StateAnswer, StateQuery, StatusAnswer, StatusQuery,
        Submit, SubmitAnswer, SubmitVerdict, Subscribe, Unsupported, Update, Watch, WireRecord,
    },
    roster::{ClientEntry, ClusterEntry, NodeEntry, Party, Roster},
    sealed_id::SealedClaims,
    status::{NeighbourStatus, StatusReport},
    takeover::SignedTakeover,
    tlv::Extensions,
};

/// A value as it is shown. Numbers of 64 bits are decimal text, since many readers of JSON keep only 53 bits of a
/// number; bytes are hexadecimal text, enums their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// An optional value that is not there.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number of at most 32 bits.
    Number(u64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Names and values, in the order of the wire.
    Object(Vec<(&'static str, Value)>),
}

impl Value {
    /// Text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// Bytes.
    #[must_use]
    pub fn hex(bytes: &[u8]) -> Self {
        Self::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// JSON on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => quote(text, f),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) if pairs.is_empty() => f.write_str("{}"),
            Self::Object(pairs) => {
                for (index, (name, value)) in pairs.iter().enumerate() {
                    write!(f, "{}\"{name}\": {value}", if index == 0 { "{ " } else { ", " })?;
                }
                f.write_str(" }")
            }
        }
    }
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(f, "\\{letter}")?,
            control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
            letter => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}

/// How a value is shown.
pub trait Show {
    /// As names and values.
    fn show(&self) -> Value;
}

macro_rules! obj {
    ($($key:literal: $value:expr),* $(,)?) => {
        Value::Object(vec![$(($key, $value)),*])
    };
}

/// A struct with all its fields.
macro_rules! shown {
    ($($ty:ident: $($field:ident),*;)*) => {$(
        impl Show for $ty {
            fn show(&self) -> Value {
                let Self { $($field),* } = self;
                Value::Object(vec![$((stringify!($field), $field.show())),*])
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
    SignedOrder: consortium, number, kind, cluster, node, epoch, expires, who, why, signature;
    JournalEntry: number, at_unix_us, kind, reason, cluster, epoch, version, old, new, node, order;
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
        $(impl Show for $ty { fn show(&self) -> Value { Value::Number(u64::from(*self)) } })*
        $(impl Show for $big { fn show(&self) -> Value { Value::Text(self.to_string()) } })*
        $(impl Show for $id { fn show(&self) -> Value { self.0.show() } })*
        $(impl Show for $code { fn show(&self) -> Value { name(self) } })*
    };
}
numbers! {
    u8 u16 u32; u64;
    ClusterId NodeId Epoch Height LogIndex RoomId Version;
    ChangeKind ClaimReason DecisionKind DecisionReason JoinVerdict OrderKind OrderOutcome Outcome QueryScope RegisterVerdict Role SubmitVerdict
}

/// An enum value by its name.
fn name(value: &impl Debug) -> Value {
    Value::Text(format!("{value:?}"))
}

impl Show for bool {
    fn show(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Show for String {
    fn show(&self) -> Value {
        Value::text(self)
    }
}

impl<const N: usize> Show for [u8; N] {
    fn show(&self) -> Value {
        Value::hex(self)
    }
}

impl Show for Bytes {
    fn show(&self) -> Value {
        Value::hex(self)
    }
}

impl Show for SocketAddr {
    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, Show::show)
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(&self) -> Value {
        Value::List(self.iter().map(Show::show).collect())
    }
}

impl Show for (String, u64) {
    fn show(&self) -> Value {
        obj! { "label": self.0.show(), "count": self.1.show() }
    }
}

impl Show for SignedRow {
    fn show(&self) -> Value {
        match self.row.show() {
            Value::Object(mut pairs) => {
                pairs.push(("signature", self.signature.show()));
                Value::Object(pairs)
            }
            other => other,
        }
    }
}

/// What was not measured is shown as it travels: 2^64 - 1.
impl Show for SignedTakeover {
    fn show(&self) -> Value {
        let span = |us: Option<u64>| us.unwrap_or(u64::MAX).show();
        let (granting, takeover) = (&self.granting, &self.takeover);
        obj! {
            "number": self.number.show(), "before": self.before.show(), "after": self.after.show(),
            "decision": self.decision.show(),
            "granting_heard_us": span(granting.heard_us), "granting_asked_us": span(granting.asked_us),
            "granting_durable_us": span(granting.durable_us),
            "heard_us": span(takeover.heard_us), "suspected_us": span(takeover.suspected_us),
            "claimed_us": span(takeover.claimed_us), "promised_us": span(takeover.promised_us),
            "ready_us": span(takeover.ready_us), "spoke_us": span(takeover.spoke_us),
            "committed_us": span(takeover.committed_us),
            "signature": self.signature.show(),
        }
    }
}

impl Show for Extensions {
    fn show(&self) -> Value {
        Value::List(
            self.iter()
                .map(|(kind, value)| obj! { "type": kind.show(), "value": Value::hex(value) })
                .collect(),
        )
    }
}

impl Show for Header {
    fn show(&self) -> Value {
        obj! {
            "version": self.version.show(), "type": self.packet_type.show(), "flags": self.flags.show(), "length": self.length.show(),
            "session": self.session.show(), "sequence": self.sequence.show(), "sender": self.sender.show(),
            "group": self.group.show(),
        }
    }
}

/// All packets: the fixed part with all its fields, then the extensions that no field carries.
macro_rules! packets {
    ($($name:ident: $($field:ident),*;)*) => {
        impl Show for Packet {
            fn show(&self) -> Value {
                let mut fields = match self {
                    $(Self::$name($name { $($field,)* extensions: _ }) => {
                        vec![$((stringify!($field), $field.show())),*]
                    })*
                };
                if !self.extensions().is_empty() {
                    fields.push(("extensions", self.extensions().show()));
                }
                Value::Object(fields)
            }
        }
    };
}

packets! {
    HandshakeInit: initiator_session, noise, mac1, mac2;
    HandshakeResponse: initiator_session, responder_session, noise, mac1;
    Cookie: initiator_session, cookie;
    Join: request, cluster, roster_version;
    JoinAnswer: request, verdict, roster_version, sealed_id;
    Register: request, cluster;
    Registered: request, verdict, registration_epoch, sealed_ids;
    Update: request, cluster, epoch, version, reason, alive, height, sealed_id;
    Change: request, cluster, epoch, version, kind, node;
    Notice: request, outcome, table_version, row;
    MasterKeepalive: cluster, epoch, height, challenge, table_version;
    MasterKeepaliveAnswer: challenge, epoch, table_version;
    Query: request, scope, cluster, since;
    ConsensusError: request, height, evidence;
    ForcedSwitch: order;
    Probe: nonce, epoch;
    ProbeAnswer: nonce, role, epoch;
    RosterPush: roster;
    History: cluster, first_epoch, nodes, signature;
    NodeKeepalive: cluster, priority, role, in_sync, interval_us, epoch, version, promised, log_end, height,
        address, heard;
    GroupKey: cluster, generation, secret, master, signature;
    RegistrationSync: cluster, registration_epoch, sealed_ids;
    Resync: epoch, height, start, records;
    Append: epoch, start, released, records;
    Ack: epoch, end, height, synced;
    BlockPush: height, block;
    ChainQuery: from, max_bytes;
    ChainEnd: height;
    SnapshotQuery: height, chunk;
    SnapshotOffer: height, manifest, proof;
    SnapshotChunk: height, chunk, content;
    RangeQuery: from, to, max_bytes;
    Consensus: cluster, epoch, message;
    Submit: request, transaction;
    SubmitAnswer: request, verdict, height, master;
    StatusQuery: request;
    StatusAnswer: request, report;
    Watch: request, kinds;
    Event: at_unix_us, kind, cluster, node, epoch, height, round, detail, hash, signature;
    StateQuery: request, question;
    StateAnswer: request, known, height, answer;
    BlockQuery: request, height;
    BlockAnswer: request, height, block;
    Subscribe: request, from, count;
    Unsupported: packet_type, critical_tlv;
    Order: request, order;
    OrderAnswer: request, outcome, number, table_version;
    JournalQuery: request, from;
    Journal: request, before, entries, head, head_hash, signature;
    Fence: row;
    FenceAnswer: cluster, epoch, height;
    Fenced: request, cluster, epoch, version, height;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_by_name_in_the_order_of_the_wire() {
        let change =
            Change { request: 7, cluster: ClusterId(3), kind: ChangeKind::Resign, ..Default::default() };
        assert_eq!(
            Packet::from(change).show().to_string(),
            r#"{ "request": "7", "cluster": 3, "epoch": "0", "version": "0", "kind": "Resign", "node": 0 }"#
        );
    }

    #[test]
    fn extensions_come_last_and_only_if_there_are_some() {
        let mut probe = Probe::default();
        probe.extensions.insert(0x0A0A, &[0x77]);
        assert_eq!(
            Packet::from(probe).show().to_string(),
            r#"{ "nonce": "0", "epoch": "0", "extensions": [{ "type": 2570, "value": "77" }] }"#
        );
    }

    #[test]
    fn text_of_others_cannot_break_out_of_its_quotes() {
        assert_eq!(Value::text("a\"b\\c\n\u{1b}").to_string(), r#""a\"b\\c\u000a\u001b""#);
    }
}
