//! One packet: what its header says, what is inside, or why a receiver refuses it.

use duohuo_wire::error::DecodeError;
use duohuo_wire::header::{self, Header};
use duohuo_wire::key_log::{Direction, KeyLog, Opened};
use duohuo_wire::packet::{Packet, PacketType};
use duohuo_wire::roster::Roster;
use duohuo_wire::show::{Show as _, Value};
use duohuo_wire::status::StatusReport;

/// Bytes of the signature that the group seal adds.
const SIGNATURE_BYTES: usize = 64;

/// What is known of one packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    /// `None` where the header is refused.
    pub(crate) header: Option<Header>,
    pub(crate) content: Content,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// Read whole.
    Packet(Packet),
    /// The key log has no key for it.
    Sealed,
    Refused(Refusal),
}

/// Why a receiver refuses it: the first broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    /// The label under which it is counted.
    pub(crate) reason: &'static str,
    /// For a person.
    pub(crate) text: String,
    pub(crate) field: Option<&'static str>,
    /// Of that field, where it is one of the header: bytes from the packet's first.
    pub(crate) offset: Option<usize>,
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let place = place(&error);
        let field = place.map(|(field, _)| field);
        Self { reason: error.label(), text: error.to_string(), field, offset: place.and_then(|(_, at)| at) }
    }
}

/// The field that a rule is about, and where it stands if it is one of the header.
fn place(error: &DecodeError) -> Option<(&'static str, Option<usize>)> {
    Some(match error {
        DecodeError::BadMagic => ("magic", Some(0)),
        DecodeError::BadVersion(_) => ("version", Some(4)),
        DecodeError::UnknownType(_) => ("type", Some(5)),
        DecodeError::UnknownFlags(_) | DecodeError::Sealed | DecodeError::NotSealed => ("flags", Some(6)),
        DecodeError::BadLength | DecodeError::TooLong => ("length", Some(8)),
        DecodeError::BadHeaderLength(_) => ("hdr_len", Some(12)),
        DecodeError::BadSuite(_) => ("suite", Some(13)),
        DecodeError::ReservedNotZero => ("reserved", Some(14)),
        DecodeError::BadCrc => ("crc32", None),
        DecodeError::BadValue { field: "session" } => ("session", Some(16)),
        DecodeError::BadValue { field: "sequence" } => ("sequence", Some(24)),
        DecodeError::BadValue { field: "group" } => ("group", Some(36)),
        DecodeError::Truncated { field }
        | DecodeError::BadValue { field }
        | DecodeError::NotCanonical { field } => (field, None),
        DecodeError::TlvOrder { .. } | DecodeError::TlvTruncated | DecodeError::UnknownCriticalTlv(_) => {
            ("extensions", None)
        }
        DecodeError::TooShort | DecodeError::TrailingBytes => return None,
    })
}

/// How much a packet may weigh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    /// W-HDR-5 for datagrams.
    Datagram,
    /// For streams.
    Stream,
}

/// Read one whole packet, as a receiver with the keys of `keys` would; signatures and windows are not asked.
pub(crate) fn decode(bytes: &[u8], limit: Limit, keys: &KeyLog) -> Decoded {
    let header = match limit {
        Limit::Datagram => Header::decode_datagram(bytes),
        Limit::Stream => Header::decode(bytes),
    };
    match header {
        Err(why) => Decoded { header: None, content: Content::Refused(why.into()) },
        Ok(header) => Decoded { header: Some(header), content: content(&header, bytes, keys) },
    }
}

fn content(header: &Header, bytes: &[u8], keys: &KeyLog) -> Content {
    let read = if header.is_sealed() {
        let (direction, plain) = match keys.open(header, bytes) {
            (_, Opened::NoKey) => return Content::Sealed,
            (_, Opened::Forged) => {
                let text =
                    "the seal does not hold: changed on the way, or the key log has another key".to_owned();
                return Content::Refused(Refusal { reason: "forged", text, field: None, offset: None });
            }
            (direction, Opened::Plaintext(plain)) => (direction, plain),
        };
        match direction {
            Some(Direction::Group { .. }) => grouped(header, &plain),
            _ => Packet::decode(header.packet_type, &plain),
        }
    } else {
        let body = header::HEADER_BYTES..bytes.len().saturating_sub(header::CRC_BYTES);
        bytes.get(body).ok_or(DecodeError::TooShort).and_then(|body| Packet::decode(header.packet_type, body))
    };
    read.map_or_else(|why| Content::Refused(why.into()), Content::Packet)
}

fn grouped(header: &Header, plain: &[u8]) -> Result<Packet, DecodeError> {
    let (body, _signature) =
        plain.split_last_chunk::<SIGNATURE_BYTES>().ok_or(DecodeError::Truncated { field: "signature" })?;
    if !header.known_type().is_some_and(PacketType::travels_in_group) {
        return Err(DecodeError::BadValue { field: "type" });
    }
    Packet::decode(header.packet_type, body)
}

impl Decoded {
    /// The name of its type, as far as it is known.
    pub(crate) fn name(&self) -> Option<&'static str> {
        self.header?.known_type().map(PacketType::name)
    }

    /// Names and values, after those that say where it was found.
    pub(crate) fn show(&self) -> Vec<(&'static str, Value)> {
        let mut shown = Vec::new();
        if let Some(header) = &self.header {
            shown.push(("header", header.show()));
        }
        if let Some(name) = self.name() {
            shown.push(("packet", Value::text(name)));
        }
        match &self.content {
            Content::Packet(packet) => {
                shown.push(("fields", packet.show()));
                match held(packet) {
                    Some((name, Ok(value))) => shown.push((name, value)),
                    Some((name, Err(why))) => shown.push((name, Refusal::from(why).show())),
                    None => {}
                }
            }
            Content::Sealed => shown.push(("sealed", Value::Bool(true))),
            Content::Refused(why) => shown.push(("refused", why.show())),
        }
        shown
    }
}

/// What the bytes of a field are, where spec/wire.md says it: the roster (5.5) and the status report (8).
fn held(packet: &Packet) -> Option<(&'static str, Result<Value, DecodeError>)> {
    match packet {
        Packet::RosterPush(push) => {
            Some(("roster", Roster::decode(&push.roster).map(|roster| roster.show())))
        }
        Packet::StatusAnswer(answer) => {
            Some(("report", StatusReport::decode(&answer.report).map(|report| report.show())))
        }
        _ => None,
    }
}

impl Refusal {
    fn show(&self) -> Value {
        let mut shown = vec![("reason", Value::text(self.reason)), ("text", Value::text(&self.text))];
        shown.extend(self.field.map(|field| ("field", Value::text(field))));
        shown.extend(self.offset.map(|offset| ("offset", Value::Number(u64::try_from(offset).unwrap_or(0)))));
        Value::Object(shown)
    }
}
