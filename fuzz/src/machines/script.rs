//! The operations of a script: one byte each, and what they draw after it.

use bytes::Bytes;
use core::{net::SocketAddr, time::Duration};
use duohuo_core::io::Input;
use duohuo_wire::{
    ids::NodeId,
    packet::{Packet, PacketType},
};

use super::{Bench, MAX_STEPS, cast::Way};
use crate::{draw::Draw, edits::edit};

/// Spans that time takes, in microseconds: around the timers of a keepalive interval of 10 ms, and of a session's age.
const SPANS_US: &[u64] = &[
    0,
    1,
    100,
    1_000,
    5_000,
    10_000,
    15_000,
    20_000,
    50_000,
    100_000,
    200_000,
    250_000,
    1_000_000,
    2_000_000,
    301_000_000,
    901_000_000,
];

/// What each byte modulo their number does; `seeds` writes scripts with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Op {
    Wait,
    ToTimeout,
    Write,
    Greet,
    Connect,
    AnswerDial,
    Say,
    SayAgain,
    SayMore,
    SayBody,
    Datagram,
    StreamBytes,
    HangUp,
    Replay,
    Read,
    Rare,
}

impl Op {
    const ALL: [Self; 16] = [
        Self::Wait,
        Self::ToTimeout,
        Self::Write,
        Self::Greet,
        Self::Connect,
        Self::AnswerDial,
        Self::Say,
        Self::SayAgain,
        Self::SayMore,
        Self::SayBody,
        Self::Datagram,
        Self::StreamBytes,
        Self::HangUp,
        Self::Replay,
        Self::Read,
        Self::Rare,
    ];
}

impl Bench {
    /// All steps of a script.
    pub(super) fn run(mut self, draw: &mut Draw<'_>) {
        self.give(Input::Tick);
        for _ in 0..MAX_STEPS {
            if draw.is_empty() {
                break;
            }
            self.operate(draw);
        }
        // Whatever was said, it comes up again from its own disk, and everything durable is told.
        self.write(usize::MAX);
        self.restart();
        self.run_to_timeout();
    }

    fn operate(&mut self, draw: &mut Draw<'_>) {
        match draw.pick(&Op::ALL) {
            Op::Wait => self.wait(Duration::from_micros(draw.pick(SPANS_US))),
            Op::ToTimeout => {
                for _ in 0..=draw.byte() % 16 {
                    self.run_to_timeout();
                }
            }
            Op::Write => self.write(usize::from(draw.byte() % 4) + 1),
            Op::Greet => {
                let party = self.party(draw);
                self.cast.greet(party);
                self.deliver();
            }
            Op::Connect => {
                let party = self.party(draw);
                self.cast.connect(party);
                self.deliver();
            }
            Op::AnswerDial => {
                self.cast.answer_dial(draw.byte() < 200);
                self.deliver();
            }
            Op::Say | Op::SayAgain | Op::SayMore => self.say(draw),
            Op::SayBody => self.say_body(draw),
            Op::Datagram => self.datagram(draw),
            Op::StreamBytes => self.stream_bytes(draw),
            Op::HangUp => {
                if let Some(stream) = self.stream(draw) {
                    self.cast.hang_up(stream);
                    self.deliver();
                }
            }
            Op::Replay => self.replay(draw),
            Op::Read => self.read(),
            Op::Rare => self.rare(draw),
        }
    }

    fn party(&self, draw: &mut Draw<'_>) -> NodeId {
        draw.pick(&self.cast.parties())
    }

    fn stream(&self, draw: &mut Draw<'_>) -> Option<duohuo_core::io::StreamId> {
        let streams = self.cast.streams();
        let place = usize::from(draw.byte()) % streams.len().max(1);
        streams.get(place).copied()
    }

    /// The way a party of this kind speaks to the machine, or any other.
    fn way(&self, party: NodeId, packet_type: PacketType, draw: &mut Draw<'_>) -> Way {
        let byte = draw.byte();
        if byte >= 240 {
            return [Way::Datagram, Way::Stream, Way::Group][usize::from(byte % 3)];
        }
        let same_cluster =
            self.cast.cluster_of(party).is_some_and(|c| Some(c) == self.cast.cluster_of(self.target));
        match packet_type {
            _ if same_cluster && packet_type.travels_in_group() => Way::Group,
            PacketType::Update
            | PacketType::Change
            | PacketType::Fenced
            | PacketType::MasterKeepalive
            | PacketType::MasterKeepaliveAnswer
            | PacketType::Probe
            | PacketType::ProbeAnswer => Way::Datagram,
            PacketType::Notice | PacketType::ForcedSwitch | PacketType::Query if byte < 120 => Way::Datagram,
            _ => Way::Stream,
        }
    }

    /// A packet that makes sense.
    fn say(&mut self, draw: &mut Draw<'_>) {
        let party = self.party(draw);
        let packet_type = draw.pick(PacketType::ALL);
        let way = self.way(party, packet_type, draw);
        if let Some(packet) = self.known.craft(packet_type, party, draw) {
            if let Packet::GroupKey(key) = &packet {
                self.cast.learn_secret(key);
            }
            self.cast.say(party, way, &packet);
            self.deliver();
        }
    }

    /// Any body that is one, rightly sealed.
    fn say_body(&mut self, draw: &mut Draw<'_>) {
        let party = self.party(draw);
        let packet_type = draw.pick(PacketType::ALL);
        let way = self.way(party, packet_type, draw);
        if let Ok(packet) = Packet::decode(packet_type.code(), draw.long()) {
            self.cast.say(party, way, &packet);
            self.deliver();
        }
    }

    fn datagram(&mut self, draw: &mut Draw<'_>) {
        let from = if draw.byte() < 200 {
            self.cast.address(self.party(draw))
        } else {
            SocketAddr::from((draw.array::<4>(), draw.u16()))
        };
        let group = draw.bool();
        self.give(Input::Datagram { from, group, bytes: Bytes::copy_from_slice(draw.long()) });
    }

    fn stream_bytes(&mut self, draw: &mut Draw<'_>) {
        if let Some(stream) = self.stream(draw) {
            self.give(Input::StreamBytes { stream, bytes: Bytes::copy_from_slice(draw.long()) });
        }
    }

    /// What came before comes again: as it was, changed, or from elsewhere.
    fn replay(&mut self, draw: &mut Draw<'_>) {
        let place = usize::from(draw.byte());
        let Some(input) = self.given.get(place % self.given.len().max(1)).cloned() else {
            return;
        };
        match input {
            Input::Datagram { from, group, bytes } => {
                let from = if draw.byte() < 200 { from } else { self.cast.address(self.party(draw)) };
                self.give(Input::Datagram { from, group, bytes: edit(&bytes, draw) });
            }
            Input::StreamBytes { bytes, .. } => {
                if let Some(stream) = self.stream(draw) {
                    self.give(Input::StreamBytes { stream, bytes: edit(&bytes, draw) });
                }
            }
            _ => {}
        }
    }

    /// What happens once in a while.
    fn rare(&mut self, draw: &mut Draw<'_>) {
        match draw.byte() {
            0..100 => self.restart(),
            100..120 => self.give(Input::Shutdown),
            120..140 => {
                self.writing.clear();
                self.give(Input::PersistFailed);
            }
            140..180 => self.give(Input::WrongResults(draw.bool())),
            180..230 => {
                let mut roster = self.consortium.roster.clone();
                roster.version += u64::from(draw.byte() % 4);
                let roster = roster.sign(&self.consortium.operator);
                self.give(Input::Roster(Box::new(roster)));
            }
            _ => self.prompt_disk = !self.prompt_disk,
        }
    }
}
