//! TCP segments to packets, for captures: one direction of one connection.
//!
//! Repeated bytes are dropped, early ones wait, and where bytes are missing for good (the capture began late or lost
//! some) it goes on at the next segment that begins with the magic.

use duohuo_wire::error::DecodeError;
use duohuo_wire::header::MAX_FRAME;
use duohuo_wire::stream::FrameReader;
use std::collections::BTreeMap;

const MAGIC: &[u8] = b"DUOH";
/// Early bytes that wait for missing ones at most; after that they are missing for good.
const WAITING_MOST: usize = 1 << 20;

/// What came of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// A whole packet, and by which number its last segment goes.
    Packet(usize, Vec<u8>),
    /// So many bytes are missing.
    Gap(usize, u32),
    /// What comes next is no packet: a receiver closes the stream here.
    Broken(usize, DecodeError),
}

#[derive(Debug)]
pub(crate) struct Direction {
    /// The next sequence number wanted; `None` before the first packet began.
    next: Option<u32>,
    reader: FrameReader,
    /// By distance from `base`, so that numbers that wrap stay in order.
    waiting: BTreeMap<u32, (usize, Vec<u8>)>,
    broken: bool,
}

impl Direction {
    pub(crate) fn new() -> Self {
        Self { next: None, reader: FrameReader::new(MAX_FRAME), waiting: BTreeMap::new(), broken: false }
    }

    /// Take a segment: its number in the capture, its sequence number, and what it carries.
    pub(crate) fn push(&mut self, number: usize, sequence: u32, syn: bool, payload: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if syn {
            // a new connection, perhaps of the same ports
            *self = Self { next: Some(sequence.wrapping_add(1)), ..Self::new() };
        }
        let sequence = sequence.wrapping_add(u32::from(syn));
        if payload.is_empty() || self.broken {
            return pieces;
        }
        if self.next.is_none() {
            if !payload.starts_with(MAGIC) {
                return pieces;
            }
            self.next = Some(sequence);
        }
        self.waiting
            .entry(sequence)
            .and_modify(|(_, old)| {
                if old.len() < payload.len() {
                    *old = payload.to_vec();
                }
            })
            .or_insert_with(|| (number, payload.to_vec()));
        self.take_in_order(&mut pieces);
        if self.waiting.values().map(|(_, bytes)| bytes.len()).sum::<usize>() > WAITING_MOST {
            self.skip_gap(&mut pieces);
        }
        pieces
    }

    /// Nothing more comes.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while !self.waiting.is_empty() && !self.broken {
            self.skip_gap(&mut pieces);
        }
        pieces
    }

    fn take_in_order(&mut self, pieces: &mut Vec<Piece>) {
        while let Some(next) = self.next
            && !self.broken
        {
            // a segment that begins at or before what is wanted; those that end before it are repetitions
            let ready = self.waiting.keys().copied().find(|at| next.wrapping_sub(*at) < 1 << 31);
            let Some(at) = ready else { return };
            let Some((number, bytes)) = self.waiting.remove(&at) else { return };
            let old = usize::try_from(next.wrapping_sub(at)).unwrap_or(usize::MAX);
            let Some(fresh) = bytes.get(old..).filter(|fresh| !fresh.is_empty()) else { continue };
            self.next = Some(next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(0)));
            self.reader.push(fresh);
            self.cut(number, pieces);
        }
    }

    fn cut(&mut self, number: usize, pieces: &mut Vec<Piece>) {
        loop {
            match self.reader.next() {
                Ok(Some(packet)) => pieces.push(Piece::Packet(number, packet.to_vec())),
                Ok(None) => return,
                Err(why) => {
                    self.broken = true;
                    pieces.push(Piece::Broken(number, why));
                    return;
                }
            }
        }
    }

    /// What is missing does not come: go on where a packet begins.
    fn skip_gap(&mut self, pieces: &mut Vec<Piece>) {
        let Some(next) = self.next else { return };
        let mut early: Vec<u32> = self.waiting.keys().copied().collect();
        early.sort_by_key(|at| at.wrapping_sub(next));
        for at in early {
            let Some((number, bytes)) = self.waiting.get(&at) else { continue };
            if bytes.starts_with(MAGIC) {
                pieces.push(Piece::Gap(*number, at.wrapping_sub(next)));
                self.reader = FrameReader::new(MAX_FRAME);
                self.next = Some(at);
                self.take_in_order(pieces);
                return;
            }
            self.waiting.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a wrong index fails the test")]
    use super::*;
    use duohuo_wire::ids::NodeId;
    use duohuo_wire::packet::{Cookie, Packet};

    /// 68 bytes.
    fn packet(n: u8) -> Vec<u8> {
        let cookie = Cookie { initiator_session: 1, cookie: [n; 16], ..Default::default() };
        Packet::from(cookie).encode_unsealed(NodeId(1)).to_vec()
    }

    fn played(segments: &[(u32, bool, &[u8])]) -> Vec<Piece> {
        let mut direction = Direction::new();
        let mut pieces = Vec::new();
        for (number, (sequence, syn, payload)) in segments.iter().enumerate() {
            pieces.extend(direction.push(number + 1, *sequence, *syn, payload));
        }
        pieces.extend(direction.finish());
        pieces
    }

    #[test]
    fn packets_are_cut_wherever_the_segments_end_and_the_numbers_wrap() {
        let stream = [packet(1), packet(2)].concat();
        let start = u32::MAX - 50;
        let (a, b) = stream.split_at(100);
        let pieces = played(&[
            (start.wrapping_sub(1), true, &[]),
            (start, false, a),
            (start.wrapping_add(100), false, b),
        ]);
        assert_eq!(pieces, [Piece::Packet(2, packet(1)), Piece::Packet(3, packet(2))]);
    }

    #[test]
    fn repeated_and_early_segments_change_nothing() {
        let stream = [packet(1), packet(2), packet(3)].concat();
        let (a, b, c) = (&stream[..30], &stream[30..90], &stream[90..]);
        let pieces = played(&[
            (9, true, &[]),
            (10, false, a),
            (100, false, c),
            (10, false, a),
            (40, false, b),
            (30, false, &stream[20..60]),
        ]);
        assert_eq!(
            pieces,
            [Piece::Packet(5, packet(1)), Piece::Packet(3, packet(2)), Piece::Packet(3, packet(3))]
        );
    }

    #[test]
    fn a_stream_captured_from_its_middle_begins_at_a_packet() {
        let one = packet(1);
        let pieces = played(&[(500, false, &one[20..]), (548, false, &one)]);
        assert_eq!(pieces, [Piece::Packet(2, one)]);
    }

    #[test]
    fn after_missing_bytes_it_goes_on_at_the_next_packet_and_says_so() {
        let (one, two) = (packet(1), packet(2));
        let pieces =
            played(&[(0, true, &[]), (1, false, &one), (100, false, &one[31..]), (137, false, &two)]);
        assert_eq!(pieces, [Piece::Packet(2, one), Piece::Gap(4, 68), Piece::Packet(4, two)]);
    }

    #[test]
    fn what_is_no_packet_ends_the_direction() {
        let mut bad = packet(1);
        bad[0] = 0;
        let pieces = played(&[(0, true, &[]), (1, false, &bad), (69, false, &packet(2))]);
        assert_eq!(pieces, [Piece::Broken(2, DecodeError::BadMagic)]);
    }
}
