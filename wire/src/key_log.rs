//! Key logs: keys of single directions as lines of text, for whoever looks at captures.
//!
//! ```text
//! session RECEIVER_SESSION KEY IV                   header.session as the receiver chose it: u64, hex
//! group CLUSTER GENERATION SENDER BOOT KEY IV       the first three decimal; boot u64, hex; KEY 64 hex digits, IV 24
//! ```
//! `#` begins a comment. Reading them is always possible; taking a key out of a session, to write such a line, only in
//! a build with the feature `key-log`. Who has such a file reads everything the session said.

use core::{fmt, num::ParseIntError, str::FromStr};
use std::collections::BTreeMap;

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    crypt::Cipher,
    header::{Header, MAX_SEQUENCE},
    ids::{ClusterId, NodeId},
};

/// Which packets a key opens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Direction {
    /// One direction of a session.
    Session {
        /// The session id that the receiver chose: what stands in the header.
        receiver_session: u64,
    },
    /// What one start of a sender says to its cluster under one generation.
    Group {
        /// Whose group.
        cluster: ClusterId,
        /// The header's group.
        generation: u32,
        /// The header's sender.
        sender: NodeId,
        /// The header's session.
        boot: u64,
    },
}

/// One line: a key, and what it opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it opens.
    pub direction: Direction,
    key: [u8; 32],
    iv: [u8; 12],
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:?}, ..)", self.direction)
    }
}

/// A line that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "expected `session ID KEY IV` or `group CLUSTER GENERATION SENDER BOOT KEY IV`, KEY 64 and IV 24 hex digits"
)]
pub struct BadLine;

impl From<ParseIntError> for BadLine {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl FromStr for Entry {
    type Err = BadLine;

    fn from_str(line: &str) -> Result<Self, BadLine> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (direction, key, iv) = match words.as_slice() {
            ["session", session, key, iv] => {
                (Direction::Session { receiver_session: hex_u64(session)? }, key, iv)
            }
            ["group", cluster, generation, sender, boot, key, iv] => {
                let direction = Direction::Group {
                    cluster: ClusterId(cluster.parse()?),
                    generation: generation.parse()?,
                    sender: NodeId(sender.parse()?),
                    boot: hex_u64(boot)?,
                };
                (direction, key, iv)
            }
            _ => return Err(BadLine),
        };
        Ok(Self { direction, key: hex(key)?, iv: hex(iv)? })
    }
}

fn hex_u64(text: &str) -> Result<u64, BadLine> {
    Ok(u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16)?)
}

fn hex<const N: usize>(text: &str) -> Result<[u8; N], BadLine> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(BadLine);
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2).ok_or(BadLine)?, 16)?;
    }
    Ok(bytes)
}

#[cfg(feature = "key-log")]
impl Entry {
    pub(crate) fn of(direction: Direction, cipher: &Cipher) -> Self {
        let (key, iv) = cipher.material();
        Self { direction, key, iv }
    }
}

/// The line.
#[cfg(feature = "key-log")]
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction {
            Direction::Session { receiver_session } => write!(f, "session {receiver_session:016x} ")?,
            Direction::Group { cluster, generation, sender, boot } => {
                write!(f, "group {} {generation} {} {boot:016x} ", cluster.0, sender.0)?;
            }
        }
        for byte in self.key {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(" ")?;
        for byte in self.iv {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Where a key log is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct KeyLogError {
    /// From 1.
    pub line: usize,
    /// What.
    pub why: BadLine,
}

/// How a header names its key: session, or (generation, sender, boot).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Session(u64),
    Group(u32, NodeId, u64),
}

/// The keys of a key log.
#[derive(Default)]
pub struct KeyLog(BTreeMap<Name, Vec<Entry>>);

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLog({} names, ..)", self.0.len())
    }
}

/// What a key log says of a sealed packet.
#[derive(Clone, PartialEq, Eq)]
pub enum Opened {
    /// Everything between header and tag; under the group seal the signature too.
    Plaintext(Zeroizing<Vec<u8>>),
    /// It has no key for it.
    NoKey,
    /// It has, and the tag does not hold.
    Forged,
}

impl KeyLog {
    /// Reads a key log.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, KeyLogError> {
        let mut log = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let entry: Entry = line.parse().map_err(|why| KeyLogError { line: index + 1, why })?;
            let name = match entry.direction {
                Direction::Session { receiver_session } => Name::Session(receiver_session),
                Direction::Group { generation, sender, boot, .. } => Name::Group(generation, sender, boot),
            };
            log.0.entry(name).or_default().push(entry);
        }
        Ok(log)
    }

    /// Opens a sealed packet whose header has been decoded from the same bytes, and tells of which direction it was. A
    /// header has no mark of the group seal: with generation 0 either key may be the one.
    #[must_use]
    pub fn open(&self, header: &Header, packet: &[u8]) -> (Option<Direction>, Opened) {
        if header.sequence >= MAX_SEQUENCE {
            return (None, Opened::Forged);
        }
        let group = self.0.get(&Name::Group(header.group, header.sender, header.session));
        let session = self.0.get(&Name::Session(header.session)).filter(|_| header.group == 0);
        let mut candidates = group.into_iter().chain(session).flatten().peekable();
        if candidates.peek().is_none() {
            return (None, Opened::NoKey);
        }
        candidates
            .find_map(|entry| {
                let plain = Cipher::new(&entry.key, entry.iv).open_packet(header, packet)?;
                Some((Some(entry.direction), Opened::Plaintext(plain)))
            })
            .unwrap_or((None, Opened::Forged))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        group::{GroupSecret, sender_key},
        packet::{Packet, Probe},
        seal::{Purpose, SealingKey},
        sign::SigningKey,
        tlv::Extensions,
    };

    /// Of nobody.
    const SESSION: &str = "session 0000000000000055 \
        2c17d2ccf8c4a3f2bfb1fc5fbc1ff1a8d46d4d5e33f3f2bc3ec7f7d6b32bd3ba 000000000000000000000000";

    fn probe() -> Packet {
        Probe { nonce: 1, extensions: Extensions::default(), ..Default::default() }.into()
    }

    #[test]
    fn a_line_is_read_and_each_wrong_one_is_named() {
        let good = "# keys\n\ngroup 3 5 7 b007 \
            3f8864d398770ae65b28470478d73de88da53f3815496a42f9e3369ae442d846 002639ccc4ce5b879f23bf76 # of node 7\n";
        let log = KeyLog::parse(good).unwrap();
        assert_eq!(format!("{log:?}"), "KeyLog(1 names, ..)");
        assert!(KeyLog::parse(SESSION).is_ok());
        for bad in ["session 55 00 00", "session xy", "group 3 5 b007", "keys", &SESSION[..SESSION.len() - 1]]
        {
            let error = KeyLog::parse(&format!("{good}{bad}")).unwrap_err();
            assert_eq!(error.line, 4, "{bad}");
        }
    }

    #[test]
    fn a_group_packet_opens_with_the_key_of_its_sender_boot_and_generation() {
        let secret = GroupSecret { cluster: ClusterId(3), generation: 5, secret: [9; 32] };
        let packet = sender_key(&secret, NodeId(7), 0xB007).seal(
            &probe(),
            &SigningKey::from_bytes(&[4; 32]),
            NodeId(7),
            0xB007,
            3,
        );
        let header = Header::decode(&packet).unwrap();
        let line =
            "3f8864d398770ae65b28470478d73de88da53f3815496a42f9e3369ae442d846 002639ccc4ce5b879f23bf76";
        let (direction, opened) =
            KeyLog::parse(&format!("group 3 5 7 b007 {line}")).unwrap().open(&header, &packet);
        let expected =
            Direction::Group { cluster: ClusterId(3), generation: 5, sender: NodeId(7), boot: 0xB007 };
        assert_eq!(direction, Some(expected));
        assert!(matches!(opened, Opened::Plaintext(plain) if plain.len() == 16 + 64));
        let other = KeyLog::parse(&format!("group 3 5 7 b008 {line}")).unwrap();
        assert!(matches!(other.open(&header, &packet), (None, Opened::NoKey)));
    }

    #[test]
    fn a_wrong_key_is_told_from_none() {
        let packet = SealingKey::new(&[2; 32], Purpose::First).seal(&probe(), NodeId(7), 0x55, 0);
        let header = Header::decode(&packet).unwrap();
        assert!(matches!(KeyLog::default().open(&header, &packet), (None, Opened::NoKey)));
        assert!(matches!(KeyLog::parse(SESSION).unwrap().open(&header, &packet), (None, Opened::Forged)));
    }

    #[cfg(feature = "key-log")]
    #[test]
    fn what_a_session_logs_opens_its_packets() {
        let sealing = SealingKey::new(&[2; 32], Purpose::First);
        let packet = sealing.seal(&probe(), NodeId(7), 0x55, 0);
        let header = Header::decode(&packet).unwrap();
        let line = sealing.key_log(0x55).to_string();
        assert!(line.starts_with("session 0000000000000055 "));
        let (_, opened) = KeyLog::parse(&line).unwrap().open(&header, &packet);
        assert!(matches!(opened, Opened::Plaintext(plain) if plain.len() == 16));
    }

    #[cfg(feature = "key-log")]
    #[test]
    fn a_sender_of_a_group_logs_the_derived_key() {
        let secret = GroupSecret { cluster: ClusterId(3), generation: 5, secret: [9; 32] };
        assert_eq!(
            sender_key(&secret, NodeId(7), 0xB007).key_log(ClusterId(3)).to_string(),
            "group 3 5 7 000000000000b007 \
             3f8864d398770ae65b28470478d73de88da53f3815496a42f9e3369ae442d846 002639ccc4ce5b879f23bf76"
        );
    }
}
