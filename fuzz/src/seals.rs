//! Seals and what guards them: what was sealed opens to itself, what was changed does not open, a repeat is seen.

use std::{collections::BTreeSet, sync::LazyLock};

use bytes::Bytes;
use duohuo_wire::{
    group::{GroupOpenError, GroupSecret, sender_key},
    handshake::{Initiation, Keys, Prologue, Transport, public_key, respond},
    header::{CRC_BYTES, Header, MAX_SEQUENCE},
    ids::{ClusterId, NodeId},
    packet::{Packet, PacketType, StatusQuery},
    seal::{OpenError, ReplayWindow},
    sealed_id::{self, SealedClaims},
    sign::SigningKey,
};

use crate::{
    draw::Draw,
    edits::{edit, repair},
};

const SENDER: NodeId = NodeId(7);

/// One side seals, the other opens: the keys of a real handshake.
static SESSION: LazyLock<(Keys, Keys)> = LazyLock::new(|| {
    let (initiator, responder) = ([0x11; 32], [0x22; 32]);
    let prologue = Prologue { consortium: [0x33; 16], transport: Transport::Datagram };
    let (attempt, init) = Initiation {
        local: &initiator,
        remote_public: &public_key(&responder),
        prologue: &prologue,
        ephemeral: [0x44; 32],
        timestamp: [1; 12],
        session: 1,
        cookie: None,
        sender: SENDER,
        versions: None,
    }
    .begin()
    .expect("good keys");
    let accepted =
        respond(&responder, &prologue, &init, [0x55; 32], 2, NodeId::AUTHORITY).expect("a true initiation");
    (attempt.finish(&accepted.response).expect("a true response"), accepted.keys)
});

/// The packet a script asks for; a status query if its body is none.
fn packet(draw: &mut Draw<'_>) -> Packet {
    let code = draw.pick(PacketType::ALL).code();
    let body = draw.long();
    Packet::decode(code, body).unwrap_or_else(|_| StatusQuery::default().into())
}

/// A session's seal.
pub(crate) fn session(data: &[u8]) {
    let mut draw = Draw::new(data);
    let (ours, theirs) = &*SESSION;
    let (session, sequence) = (draw.u64(), draw.near(0) % MAX_SEQUENCE);
    let packet = packet(&mut draw);
    let sealed = ours.sealing.seal(&packet, SENDER, session, sequence);
    // Types below 0x10 are never sealed: the header says so before any key is asked.
    let Ok(header) = Header::decode(&sealed) else {
        assert!(packet.packet_type().is_handshake());
        return;
    };
    assert_eq!((header.session, header.sequence, header.sender), (session, sequence, SENDER));
    assert_eq!(theirs.opening.open(&header, &sealed), Ok(packet));
    assert_eq!(ours.opening.open(&header, &sealed), Err(OpenError::Forged), "each direction has its key");
    never_opens(&sealed, &mut draw, |header, bytes| {
        assert_eq!(theirs.opening.open(header, bytes), Err(OpenError::Forged));
    });
}

/// The group's seal.
pub(crate) fn group(data: &[u8]) {
    let mut draw = Draw::new(data);
    let secret = GroupSecret { cluster: ClusterId(3), generation: draw.u32(), secret: [9; 32] };
    let (boot, sequence) = (draw.u64(), draw.near(0) % MAX_SEQUENCE);
    let packet = packet(&mut draw);
    let (signing, liar) = (SigningKey::from_bytes(&[4; 32]), SigningKey::from_bytes(&[5; 32]));
    let key = sender_key(&secret, SENDER, boot);
    let sealed = key.seal(&packet, &signing, SENDER, boot, sequence);
    let Ok(header) = Header::decode(&sealed) else {
        assert!(packet.packet_type().is_handshake());
        return;
    };
    let opened = key.open(&header, &sealed, &signing.verifying_key());
    if packet.packet_type().travels_in_group() {
        assert_eq!(opened, Ok(packet));
    } else {
        assert!(matches!(opened, Err(GroupOpenError::Decode(_))), "W-GRP-3");
    }
    let forged = key.open(&header, &sealed, &liar.verifying_key());
    assert_eq!(forged, Err(GroupOpenError::BadSignature), "the signature is the sender's");
    never_opens(&sealed, &mut draw, |header, bytes| {
        assert_eq!(key.open(header, bytes, &signing.verifying_key()), Err(GroupOpenError::Forged));
    });
}

/// What was changed anywhere but in its CRC, and what is left of the input as it is.
fn never_opens(sealed: &Bytes, draw: &mut Draw<'_>, refused: impl Fn(&Header, &[u8])) {
    let covered = sealed.len() - CRC_BYTES;
    let edited = edit(sealed, draw);
    if let Ok(header) = Header::decode(&edited)
        && edited.get(..covered) != sealed.get(..covered)
    {
        refused(&header, &edited);
    }
    let mut foreign = draw.rest().to_vec();
    repair(&mut foreign);
    if let Ok(header) = Header::decode(&foreign) {
        refused(&header, &foreign);
    }
}

/// The window against the plainest thing that keeps W-WIN-1 to W-WIN-3.
pub(crate) fn window(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut window = ReplayWindow::new();
    let mut accepted = BTreeSet::<u64>::new();
    while !draw.is_empty() {
        let newest = accepted.last().copied();
        let base: u64 = newest.unwrap_or(0);
        let sequence = match draw.byte() {
            0..100 => base.saturating_add(1),
            100..160 => base.saturating_sub(u64::from(draw.byte())),
            160..200 => base.saturating_sub(1020 + u64::from(draw.byte() % 8)),
            200..230 => base.saturating_add(u64::from(draw.u16())),
            230..240 => MAX_SEQUENCE.saturating_add(2).saturating_sub(u64::from(draw.byte() % 4)),
            _ => draw.u64(),
        };
        let fresh = sequence < MAX_SEQUENCE
            && !accepted.contains(&sequence)
            && newest.is_none_or(|newest| sequence + 1023 >= newest);
        assert_eq!(window.check(sequence), fresh, "sequence {sequence}, newest {newest:?}");
        // A packet that does not open is asked about and never committed.
        if draw.byte() < 224 {
            window.commit(sequence);
            if fresh {
                accepted.insert(sequence);
            }
        }
        assert_eq!(window.newest(), accepted.last().copied());
    }
}

/// The sealed cluster ID: what the authority sealed opens to its claims, for its node, cluster and consortium alone.
pub(crate) fn sealed_ids(data: &[u8]) {
    let secret = [7; 32];
    let binding = sealed_id::binding(&[3; 32], &[4; 32]);
    let opens = |bytes: &[u8], cluster, consortium: &[u8; 16], binding: &[u8; 32]| {
        sealed_id::open(&secret, bytes, cluster, consortium, binding)
    };
    assert!(
        opens(data, ClusterId(1), &[1; 16], &binding).is_err(),
        "who has no key of the authority makes none"
    );
    let mut draw = Draw::new(data);
    let claims = SealedClaims {
        cluster: ClusterId(draw.u32()),
        node: NodeId(draw.u32()),
        registration_epoch: draw.u32(),
        serial: draw.u64(),
        issued: draw.u64(),
        expires: draw.u64(),
    };
    let sealed = sealed_id::seal(&secret, draw.array(), &claims, &[1; 16], &binding);
    assert_eq!(opens(&sealed, claims.cluster, &[1; 16], &binding), Ok(claims));
    assert!(opens(&sealed, ClusterId(claims.cluster.0 ^ 1), &[1; 16], &binding).is_err());
    assert!(opens(&sealed, claims.cluster, &[2; 16], &binding).is_err());
    assert!(opens(&sealed, claims.cluster, &[1; 16], &[0; 32]).is_err());
    let mut changed = sealed.to_vec();
    let at = usize::from(draw.byte()) % changed.len();
    changed[at] ^= 1 << (draw.byte() % 8);
    // The top bit of an X25519 public key is ignored by the function, not by the seal: it is additional data.
    assert!(opens(&changed, claims.cluster, &[1; 16], &binding).is_err());
    changed.truncate(at);
    assert!(opens(&changed, claims.cluster, &[1; 16], &binding).is_err());
}
