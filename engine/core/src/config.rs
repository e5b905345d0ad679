//! What a machine is told once: who it is, whom it may believe, how patient it is.

use crate::outside::OutsideConfig;
use crate::time::Duration;
use duohuo_wire::ids::NodeId;
use duohuo_wire::roster::Roster;
use duohuo_wire::secret::Secret;
use duohuo_wire::sign::SigningKey;
use duohuo_wire::versions::Versions;

/// All spans of the protocol. One set for a whole network; defaults suit one site on a quiet network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Between two multicast keepalives of a node and between two keepalives of a master to the authority.
    /// 1 ms ..= 10 s.
    pub keepalive_interval: Duration,
    /// A neighbour silent for this long is probed: 1.5 keepalive intervals.
    pub suspect_interval: Duration,
    /// Between the three probes of a suspect, and from the last one to the verdict. 1 ms.
    pub probe_interval: Duration,
    /// A member of the in-sync set that does not acknowledge for this long is proposed for removal (R5); an entry of
    /// the authority's table older than this is removed (AUTH-2). Above `suspect_interval`.
    pub dead_interval: Duration,
    /// How long a member of the in-sync set that answers probes may owe an acknowledgement: a slow disk is no crash.
    /// Four dead intervals.
    pub sync_interval: Duration,
    /// First wait for an answer; doubled with each repetition, up to 64 times.
    pub retry_interval: Duration,
    /// After the start of a node: how long it listens before it takes part in an election; of the authority: how long
    /// it refuses claims, so that masters that live can be heard first.
    pub startup_interval: Duration,
    /// Between two attempts to open a stream to one peer.
    pub redial_interval: Duration,
    /// How long a client's handshake or half a packet may take.
    pub stream_deadline: Duration,
}

impl Timers {
    /// The set that belongs to a keepalive interval: every span follows from it by the formula in the spec.
    #[must_use]
    pub fn for_keepalive(keepalive_interval: Duration) -> Self {
        let at_least = |span: Duration, floor_ms: u64| span.max(Duration::from_millis(floor_ms));
        Self {
            keepalive_interval,
            suspect_interval: keepalive_interval * 3 / 2,
            probe_interval: Duration::from_millis(1),
            dead_interval: at_least(keepalive_interval * 5, 50),
            sync_interval: at_least(keepalive_interval * 5, 50) * 4,
            retry_interval: Duration::from_millis(20),
            startup_interval: at_least(keepalive_interval * 20, 200),
            redial_interval: at_least(keepalive_interval * 5, 50),
            stream_deadline: Duration::from_secs(2),
        }
    }
}

/// Between two rehearsals of a takeover that a node begins, and between two that one party helps one node with (B-DRL-4).
pub const REHEARSAL_INTERVAL: Duration = Duration::from_millis(500);

/// What a node is told.
#[derive(Clone)]
pub struct NodeConfig {
    /// Who it is.
    pub node: NodeId,
    /// X25519 private key for sessions.
    pub session_secret: Secret,
    /// Ed25519 private key for statements.
    pub signing_key: SigningKey,
    /// Everybody, signed by the operator and verified by the caller.
    pub roster: Roster,
    /// The operator's public key: later rosters must be signed by it.
    pub operator_key: [u8; 32],
    /// The enrolment secret of the cluster's multicast group (generation 0).
    pub group_secret: Secret,
    /// Spans.
    pub timers: Timers,
    /// The versions of the wire that it speaks.
    pub versions: Versions,
    /// What acts outside the chain, if anything does (design R7).
    pub outside: Option<OutsideConfig>,
    /// Blocks kept below the newest proven snapshot; older ones are pruned. `u64::MAX`: all.
    pub keep_blocks: u64,
    /// Bytes of records in one packet of a log (B-LOG-12): [`crate::limits::LOG_PACKET_BYTES`], or less to try what follows.
    pub log_packet_bytes: usize,
    /// 32 bytes from the system's source of randomness, fresh at each start: the only randomness there is.
    pub seed: [u8; 32],
    /// Unix time at `Instant::ZERO`: for handshake timestamps, events, and the expiry of sealed IDs. Safety does not
    /// depend on it.
    pub unix_at_zero: Duration,
}

/// What the authority is told.
#[derive(Clone)]
pub struct AuthorityConfig {
    /// X25519 private key for sessions.
    pub session_secret: Secret,
    /// Ed25519 private key for rows, notices and orders.
    pub signing_key: SigningKey,
    /// X25519 private key that seals cluster IDs.
    pub sealing_secret: Secret,
    /// Everybody, signed by the operator and verified by the caller.
    pub roster: Roster,
    /// The operator's public key.
    pub operator_key: [u8; 32],
    /// Spans.
    pub timers: Timers,
    /// The versions of the wire that it speaks.
    pub versions: Versions,
    /// As in [`NodeConfig::seed`].
    pub seed: [u8; 32],
    /// As in [`NodeConfig::unix_at_zero`].
    pub unix_at_zero: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two columns of section 2 of spec/behaviour.md.
    #[test]
    fn every_span_follows_from_the_keepalive_interval() {
        let spans = |keepalive_ms| {
            let t = Timers::for_keepalive(Duration::from_millis(keepalive_ms));
            [
                t.suspect_interval,
                t.probe_interval,
                t.dead_interval,
                t.sync_interval,
                t.retry_interval,
                t.startup_interval,
                t.redial_interval,
                t.stream_deadline,
            ]
            .map(|span| span.as_millis())
        };
        assert_eq!(spans(100), [150, 1, 500, 2000, 20, 2000, 500, 2000]);
        assert_eq!(spans(10), [15, 1, 50, 200, 20, 200, 50, 2000]);
        assert_eq!(spans(1), [1, 1, 50, 200, 20, 200, 50, 2000]);
    }
}
