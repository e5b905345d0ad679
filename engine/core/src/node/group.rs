//! The cluster's multicast group: generations of its key, sealing, opening, replay protection, the heard list.
//!
//! The master of epoch e makes generation e and hands it over the streams; whoever has a newer one passes it on.
//! A generation is *sent under* only after everybody had time to get it, and received from the moment it is known.

use super::Node;
use crate::discard::Discard;
use crate::held::Held;
use crate::io::Output;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::group::{GroupOpenError, GroupSecret, GroupSenderKey, sender_key};
use duohuo_wire::header::{Header, MAX_SEQUENCE};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{GroupKey, Packet};
use duohuo_wire::seal::ReplayWindow;
use duohuo_wire::sign::{SigningKey, VerifyingKey};
use std::collections::{BTreeMap, VecDeque};

/// Generations kept for receiving.
const GENERATIONS: usize = 2;
/// Our newest sequences, which a heard list may echo: at the shortest interval this covers seconds.
const SENT_REMEMBERED: usize = 256;
/// Boots of one sender that are kept: the running one and the one before.
const BOOTS: usize = 2;

struct Generation {
    secret: GroupSecret,
    /// As it was handed to us; `None` for the enrolment secret.
    handed: Option<GroupKey>,
    usable_at: Instant,
}

struct Incoming {
    key: GroupSenderKey,
    window: ReplayWindow,
}

pub(super) struct Group {
    cluster: ClusterId,
    me: NodeId,
    address: SocketAddr,
    boot: u64,
    sequence: u64,
    signing: SigningKey,
    generations: BTreeMap<u32, Generation>,
    outgoing: BTreeMap<u32, GroupSenderKey>,
    incoming: BTreeMap<(NodeId, u64, u32), Incoming>,
    boots: BTreeMap<NodeId, VecDeque<u64>>,
    sent: VecDeque<(u32, Instant)>,
    /// By maker: the newest of those whose epoch's master we do not know yet.
    aside: BTreeMap<NodeId, GroupKey>,
    /// Keys of others that came into use: the machine hands them to the key log.
    #[cfg(feature = "key-log")]
    pub(super) learnt: Vec<duohuo_wire::key_log::Entry>,
}

impl Group {
    pub(super) fn new(
        cluster: ClusterId,
        me: NodeId,
        address: SocketAddr,
        enrolment_secret: [u8; 32],
        signing: SigningKey,
        random: &mut Random,
    ) -> Self {
        let secret = GroupSecret { cluster, generation: 0, secret: enrolment_secret };
        let first = Generation { secret, handed: None, usable_at: Instant::ZERO };
        Self {
            cluster,
            me,
            address,
            boot: random.u64(),
            // A random start, so that what an earlier boot captured cannot echo a sequence of this one.
            sequence: u64::from(random.u32()),
            signing,
            generations: BTreeMap::from([(0, first)]),
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            boots: BTreeMap::new(),
            sent: VecDeque::new(),
            aside: BTreeMap::new(),
            #[cfg(feature = "key-log")]
            learnt: Vec::new(),
        }
    }

    /// Make the generation of a new epoch, to be handed out.
    pub(super) fn make(
        &mut self,
        now: Instant,
        generation: u32,
        grace: Duration,
        random: &mut Random,
    ) -> GroupKey {
        let key = GroupKey::sign(self.cluster, generation, random.key(), self.me, &self.signing);
        self.learn(now, &key, grace);
        key
    }

    /// A generation that its maker signed, before we know whether it was the master of that epoch. One for each maker, so
    /// that a member that makes up epochs pushes nobody else's out.
    pub(super) fn set_aside(&mut self, key: &GroupKey) {
        let newest = self.aside.get(&key.master).map_or(self.newest(), |other| other.generation);
        if key.generation > newest {
            self.aside.insert(key.master, key.clone());
        }
    }

    /// What was set aside, to be judged again.
    pub(super) fn take_aside(&mut self) -> Vec<GroupKey> {
        core::mem::take(&mut self.aside).into_values().collect()
    }

    /// A generation handed to us, its signature and maker verified by the caller.
    pub(super) fn learn(&mut self, now: Instant, key: &GroupKey, grace: Duration) -> bool {
        if key.generation <= self.newest() {
            return false; // of an older master, or the enrolment secret's number, which is never handed out
        }
        let secret = GroupSecret { cluster: self.cluster, generation: key.generation, secret: key.secret };
        // Who only had the enrolment secret is not heard under it any more: no reason to wait.
        let usable_at = if self.newest() == 0 { now } else { now + grace };
        self.generations.insert(key.generation, Generation { secret, handed: Some(key.clone()), usable_at });
        while self.generations.len() > GENERATIONS {
            self.generations.pop_first();
        }
        let oldest = self.generations.keys().next().copied().unwrap_or(0);
        self.outgoing.retain(|generation, _| *generation >= oldest);
        self.incoming.retain(|(_, _, generation), _| *generation >= oldest);
        true
    }

    /// The newest generation, to pass on.
    pub(super) fn newest_key(&self) -> Option<&GroupKey> {
        self.generations.values().next_back().and_then(|g| g.handed.as_ref())
    }

    fn newest(&self) -> u32 {
        self.generations.keys().next_back().copied().unwrap_or(0)
    }

    /// Seal and queue a packet for the group or, as a unicast copy, for one member.
    pub(super) fn send(&mut self, now: Instant, to: Option<SocketAddr>, packet: &Packet, out: &mut Outbox) {
        let usable = |g: &&Generation| now >= g.usable_at;
        let Some(generation) =
            self.generations.values().rev().find(usable).or_else(|| self.generations.values().next())
        else {
            return;
        };
        if self.sequence + 1 >= MAX_SEQUENCE {
            // Another boot is another key under the same secret: its sequences begin anew (W-SEAL-1).
            self.boot = self.boot.wrapping_add(1);
            self.sequence = 0;
            self.outgoing.clear();
        }
        let secret = &generation.secret;
        let key = self.outgoing.entry(secret.generation).or_insert_with(|| {
            let key = sender_key(secret, self.me, self.boot);
            #[cfg(feature = "key-log")]
            out.push(Output::Key(key.key_log(self.cluster)));
            key
        });
        self.sequence += 1;
        let bytes = key.seal(packet, &self.signing, self.me, self.boot, self.sequence);
        if to.is_none() {
            self.sent.push_back((low(self.sequence), now));
            if self.sent.len() > SENT_REMEMBERED {
                self.sent.pop_front();
            }
        }
        out.push(Output::Datagram { to: to.unwrap_or(self.address), bytes });
    }

    /// What it keeps of others, and of what was sent lately.
    pub(super) fn held(&self) -> [Held; 2] {
        [
            Held::entries("group senders", self.incoming.len()),
            Held::entries("keepalives sent", self.sent.len()),
        ]
    }

    /// Whether a heard list's echo names a sequence that we sent to the group within `within`.
    pub(super) fn sent_lately(&self, now: Instant, sequence: u32, within: Duration) -> bool {
        self.sent.iter().rev().take_while(|(_, at)| now - *at <= within).any(|(s, _)| *s == sequence)
    }

    /// Open a group packet of a member whose signing key is `verify`.
    pub(super) fn open(
        &mut self,
        header: &Header,
        bytes: &Bytes,
        verify: &VerifyingKey,
    ) -> Result<Packet, Discard> {
        if header.sender == self.me {
            return Err(Discard::Reflected);
        }
        let Some(generation) = self.generations.get(&header.group) else {
            return Err(Discard::UnknownGeneration);
        };
        let (sender, boot) = (header.sender, header.session);
        let index = (sender, boot, header.group);
        // An unknown boot costs one derivation; it is kept only if the packet opens.
        let mut fresh = None;
        let incoming = match self.incoming.get_mut(&index) {
            Some(incoming) => incoming,
            None => fresh.insert(Incoming {
                key: sender_key(&generation.secret, sender, boot),
                window: ReplayWindow::default(),
            }),
        };
        if !incoming.window.check(header.sequence) {
            return Err(Discard::Replayed);
        }
        let packet = incoming.key.open(header, bytes, verify).map_err(|error| match error {
            GroupOpenError::Forged => Discard::Forged,
            GroupOpenError::BadSignature => Discard::BadSignature,
            GroupOpenError::Decode(error) => Discard::Decode(error),
        })?;
        incoming.window.commit(header.sequence);
        if let Some(incoming) = fresh {
            #[cfg(feature = "key-log")]
            self.learnt.push(incoming.key.key_log(self.cluster));
            self.incoming.insert(index, incoming);
            self.remember_boot(sender, boot);
        }
        Ok(packet)
    }

    fn remember_boot(&mut self, sender: NodeId, boot: u64) {
        let boots = self.boots.entry(sender).or_default();
        if boots.contains(&boot) {
            return;
        }
        boots.push_back(boot);
        if boots.len() > BOOTS
            && let Some(old) = boots.pop_front()
        {
            self.incoming.retain(|(node, b, _), _| *node != sender || *b != old);
        }
    }
}

impl Node {
    /// B-GRP-1: a generation is the work of the master of that epoch, whoever passed it on.
    pub(super) fn on_group_key(&mut self, key: &GroupKey) -> Result<(), Discard> {
        if key.cluster != self.cluster {
            return Err(Discard::Forbidden);
        }
        let signer = self.signers.member(key.master).ok_or(Discard::UnknownKey)?;
        if !key.verify(signer) {
            return Err(Discard::BadStatement);
        }
        match self.lineage.master(self.cluster, Epoch(key.generation.into())) {
            Some(master) if master == key.master => {
                let grace = self.group_grace();
                self.group.learn(self.now, key, grace);
                Ok(())
            }
            Some(_) => Err(Discard::Forbidden),
            None => {
                self.group.set_aside(key);
                Ok(())
            }
        }
    }

    /// Who was master of our cluster in some epoch became known: a generation may have waited for it.
    pub(super) fn take_up_group_keys(&mut self) {
        for key in self.group.take_aside() {
            if let Err(why) = self.on_group_key(&key) {
                self.discards.count(why);
            }
        }
    }

    /// Time enough for everybody to get a new generation.
    pub(super) fn group_grace(&self) -> Duration {
        self.config.timers.suspect_interval * 3
    }
}

/// What a heard list carries of a sequence: its low 32 bits.
pub(super) const fn low(sequence: u64) -> u32 {
    (sequence & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::time::Instant;
    use duohuo_wire::packet::Probe;

    const ME: NodeId = NodeId(1);

    fn group(sequence: u64) -> Group {
        let address = SocketAddr::from(([239, 0, 0, 1], 1));
        let signing = SigningKey::from_bytes(&[7; 32]);
        let mut group = Group::new(ClusterId(1), ME, address, [9; 32], signing, &mut Random::new([1; 32]));
        group.sequence = sequence;
        group
    }

    /// The headers of so many packets to the group.
    fn sent(group: &mut Group, count: usize) -> Vec<(u64, u64)> {
        let mut out = Outbox::default();
        for _ in 0..count {
            group.send(Instant::ZERO, None, &Packet::from(Probe::default()), &mut out);
        }
        let mut headers = Vec::new();
        while let Some(output) = out.pop() {
            if let Output::Datagram { bytes, .. } = output {
                let header = Header::decode(&bytes).unwrap();
                headers.push((header.session, header.sequence));
            }
        }
        headers
    }

    /// B-NBR-1: a heard list carries the low 32 bits, which begin anew while the sequence goes on.
    #[test]
    fn a_sequence_is_echoed_across_the_end_of_32_bits() {
        let mut group = group(0xFFFF_FFFD);
        let boot = group.boot;
        let expected =
            [0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 0x1_0000_0001].map(|sequence| (boot, sequence));
        assert_eq!(sent(&mut group, 4), expected);
        for low in [0xFFFF_FFFE, 0xFFFF_FFFF, 0, 1] {
            assert!(group.sent_lately(Instant::ZERO, low, Duration::from_millis(1)), "{low:#x}");
        }
        assert!(!group.sent_lately(Instant::ZERO, 2, Duration::from_millis(1)));
    }

    /// W-SEAL-1: before 2^63 the sender goes on under another boot, which is another key, and its mates hear it.
    #[test]
    fn a_group_key_that_is_used_up_is_followed_by_another_boots() {
        let last = (1 << 63) - 1;
        let mut sender = group(last - 2);
        let (boot, verify) = (sender.boot, sender.signing.verifying_key());
        assert_eq!(
            sent(&mut sender, 4),
            [(boot, last - 1), (boot, last), (boot.wrapping_add(1), 1), (boot.wrapping_add(1), 2)]
        );
        let mut receiver = Group { me: NodeId(2), ..group(0) };
        let mut out = Outbox::default();
        for sequence in [last - 2, last - 1, last] {
            sender.sequence = sequence;
            sender.send(Instant::ZERO, None, &Packet::from(Probe::default()), &mut out);
        }
        let mut opened = 0;
        while let Some(output) = out.pop() {
            let Output::Datagram { bytes, .. } = output else { continue };
            let header = Header::decode(&bytes).unwrap();
            opened += u32::from(receiver.open(&header, &bytes, &verify).is_ok());
        }
        assert_eq!(opened, 3);
    }
}
