//! What a machine tells an operator: one enum, one number each on the wire (packet `Event`), one name each in logs.

use crate::chain::{HaltReason, VoteSeen};
use crate::offences::Offence;
use crate::outside::{Ended, Ending, Program};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::{ClaimReason, OrderKind, Outcome, Role};
use duohuo_wire::versions::Versions;

/// Something that happened, seen from one machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A neighbour's stream closed or its keepalives are late: it is being probed.
    Suspected {
        /// Who.
        node: NodeId,
    },
    /// A neighbour did not answer the probes.
    Dead {
        /// Who.
        node: NodeId,
    },
    /// A neighbour is there (again).
    Alive {
        /// Who.
        node: NodeId,
    },
    /// This node asked to become master.
    Claimed {
        /// Of which epoch's master.
        epoch: Epoch,
        /// Why.
        reason: ClaimReason,
    },
    /// The authority answered a request of ours with something else than yes.
    Refused {
        /// The answer.
        outcome: Outcome,
    },
    /// The authority made `node` master of `cluster` (said by the authority, when durable).
    Granted {
        /// Which.
        cluster: ClusterId,
        /// The new epoch.
        epoch: Epoch,
        /// The new master.
        node: NodeId,
    },
    /// The authority changed the in-sync set (said by the authority).
    InSyncChanged {
        /// Which.
        cluster: ClusterId,
        /// The epoch.
        epoch: Epoch,
        /// The node added or removed.
        node: NodeId,
        /// Members now.
        members: u32,
    },
    /// This node's role changed.
    RoleChanged {
        /// The new role.
        role: Role,
        /// The epoch.
        epoch: Epoch,
    },
    /// A signed word left this node.
    Released(VoteSeen),
    /// A signed word of another cluster came in and was taken.
    Received(VoteSeen),
    /// A block is committed and durable here.
    Committed {
        /// Height.
        height: Height,
        /// State hash after it.
        state_hash: [u8; 32],
    },
    /// A quorum contradicts the result of a cluster's master: reported to the authority.
    ConsensusErrorReported {
        /// The accused.
        cluster: ClusterId,
        /// Where.
        height: Height,
    },
    /// The authority ordered a switch (said by the authority and by each node that obeys).
    ForcedSwitch {
        /// Which.
        cluster: ClusterId,
        /// The barred master.
        node: NodeId,
        /// Height of the wrong result.
        height: Height,
    },
    /// The same wrong result from the successor, or nobody left to switch to: an operator must look.
    Alarm {
        /// Which.
        cluster: ClusterId,
        /// Where.
        height: Height,
    },
    /// A master's ageing timer reached its maximum (AUTH-2).
    AgedOut {
        /// Which.
        cluster: ClusterId,
        /// Its master.
        node: NodeId,
    },
    /// The session with the authority came up or was lost.
    AuthorityReachable {
        /// Up or not.
        up: bool,
    },
    /// A node's request to join was answered (AUTH-1).
    Joined {
        /// Who.
        node: NodeId,
        /// Let in or not.
        accepted: bool,
    },
    /// A new roster is in force.
    RosterInForce {
        /// Its version.
        version: u64,
    },
    /// Design R8: this node stopped signing.
    Halted {
        /// Why.
        reason: HaltReason,
    },
    /// The disk failed: this node resigned and stops.
    StoreFailed,
    /// A cluster changed its master again and again: an operator should look.
    Unstable {
        /// Which.
        cluster: ClusterId,
        /// How often within the damping window.
        switches: u32,
    },
    /// One of two signed words of another cluster that contradict each other (CH-15); the other one is told with it.
    Equivocated {
        /// Whose key signed it.
        node: NodeId,
        /// The word, signature and all: both together prove it to anybody.
        word: VoteSeen,
    },
    /// Somebody does again and again what no honest party does (B-OFF-1).
    Offended {
        /// Of which cluster; 0: none.
        cluster: ClusterId,
        /// Who.
        node: NodeId,
        /// What.
        offence: Offence,
        /// How often by now.
        count: u32,
    },
    /// This node acts outside the chain from now on (design R7).
    Acting {
        /// In this epoch.
        epoch: Epoch,
    },
    /// It was told to end that.
    ActingEnded {
        /// The epoch it acted in.
        epoch: Epoch,
        /// Why.
        why: Ended,
    },
    /// A program of the operator ended.
    ProgramEnded {
        /// Which.
        program: Program,
        /// How.
        ending: Ending,
    },
    /// The health of what acts outside changed.
    HealthChanged {
        /// What it takes off the priority; 255: unfit.
        cut: u8,
    },
    /// This node's copy came in step, or fell out of it.
    CopyChanged {
        /// In step.
        in_step: bool,
        /// How far it is.
        position: u64,
    },
    /// What acts was to end and has not said so when its lease was over: it may act still, and somebody else may begin.
    Overdue {
        /// The epoch it acted in.
        epoch: Epoch,
    },
    /// The process that runs the operator's programs was lost and is started anew.
    KeeperLost,
    /// This node is far behind and fetches from several others.
    CatchingUp {
        /// The height it has.
        height: Height,
        /// Blocks that it lacks, as far as it was told.
        missing: u64,
        /// Of the snapshot that it fetches, in parts per thousand; 0: none.
        snapshot_permille: u32,
    },
    /// It is not far behind any more.
    CaughtUp {
        /// The height it has.
        height: Height,
    },
    /// A snapshot is whole in the store and proven.
    SnapshotKept {
        /// Its height.
        height: Height,
    },
    /// An operator's order was carried out (said by the authority, when durable).
    Ordered {
        /// Which; 0: all.
        cluster: ClusterId,
        /// Whom it is about.
        node: NodeId,
        /// What.
        kind: OrderKind,
        /// Its number.
        number: u64,
    },
    /// There is no version of the wire that this process and another both speak: they have no session (W-VER-2). Told of one
    /// party once a minute.
    NoCommonVersion {
        /// Who.
        party: NodeId,
        /// What it says that it speaks.
        theirs: Versions,
        /// What this process speaks.
        ours: Versions,
    },
    /// This node's cluster counts nothing of older epochs any more: it told the forced master so.
    FencePromised {
        /// The forced master's.
        cluster: ClusterId,
        /// Its epoch.
        epoch: Epoch,
        /// The height that this cluster works on.
        height: Height,
    },
    /// A forced master's fence stands (said by the authority, when durable).
    Fenced {
        /// Which.
        cluster: ClusterId,
        /// Its master.
        node: NodeId,
        /// The epoch.
        epoch: Epoch,
        /// It signs nothing at this height or below.
        height: Height,
    },
}

/// The shape of a wire `Event` packet without its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventFields {
    /// See [`Event::fields`].
    pub kind: u16,
    /// The cluster concerned; 0: the teller's own.
    pub cluster: ClusterId,
    /// The node concerned.
    pub node: NodeId,
    /// Epoch.
    pub epoch: Epoch,
    /// Height.
    pub height: Height,
    /// Round.
    pub round: u32,
    /// A code whose meaning depends on the kind.
    pub detail: u32,
    /// A hash.
    pub hash: [u8; 32],
    /// A signature.
    pub signature: [u8; 64],
}

impl Event {
    /// Name in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Suspected { .. } => "suspected",
            Self::Dead { .. } => "dead",
            Self::Alive { .. } => "alive",
            Self::Claimed { .. } => "claimed",
            Self::Refused { .. } => "refused",
            Self::Granted { .. } => "granted",
            Self::InSyncChanged { .. } => "in_sync_changed",
            Self::RoleChanged { .. } => "role_changed",
            Self::Released(_) => "released",
            Self::Received(_) => "received",
            Self::Committed { .. } => "committed",
            Self::ConsensusErrorReported { .. } => "consensus_error_reported",
            Self::ForcedSwitch { .. } => "forced_switch",
            Self::Alarm { .. } => "alarm",
            Self::AgedOut { .. } => "aged_out",
            Self::AuthorityReachable { .. } => "authority_reachable",
            Self::Joined { .. } => "joined",
            Self::RosterInForce { .. } => "roster_in_force",
            Self::Halted { .. } => "halted",
            Self::StoreFailed => "store_failed",
            Self::Unstable { .. } => "unstable",
            Self::Equivocated { .. } => "equivocated",
            Self::Offended { .. } => "offended",
            Self::Acting { .. } => "acting",
            Self::ActingEnded { .. } => "acting_ended",
            Self::ProgramEnded { .. } => "program_ended",
            Self::HealthChanged { .. } => "health_changed",
            Self::CopyChanged { .. } => "copy_changed",
            Self::Overdue { .. } => "overdue",
            Self::KeeperLost => "keeper_lost",
            Self::CatchingUp { .. } => "catching_up",
            Self::CaughtUp { .. } => "caught_up",
            Self::SnapshotKept { .. } => "snapshot_kept",
            Self::Ordered { .. } => "ordered",
            Self::Fenced { .. } => "fenced",
            Self::FencePromised { .. } => "fence_promised",
            Self::NoCommonVersion { .. } => "no_common_version",
        }
    }

    /// Whether it comes with every message: too many for a log.
    #[must_use]
    pub const fn is_frequent(&self) -> bool {
        matches!(self, Self::Released(_) | Self::Received(_) | Self::Committed { .. })
    }

    /// The wire form. `kind` is the number in spec/behaviour.md 14. `detail` is: the reason of a claim
    /// or halt, the outcome of a refusal, a role, a vote's kind (1 proposal, 2 prevote, 3 precommit; plus 16 if it is
    /// a nil vote), members, 0/1 for a flag. `hash` is a vote's value or a state hash.
    #[must_use]
    pub fn fields(&self) -> EventFields {
        let mut f = EventFields {
            kind: 0,
            cluster: ClusterId(0),
            node: NodeId(0),
            epoch: Epoch(0),
            height: Height(0),
            round: 0,
            detail: 0,
            hash: [0; 32],
            signature: [0; 64],
        };
        let vote = |f: &mut EventFields, v: &VoteSeen| {
            f.cluster = v.cluster;
            f.epoch = v.epoch;
            f.height = v.height;
            f.round = v.round;
            f.detail = v.kind as u32 + 1 + if v.value.is_none() { 16 } else { 0 };
            f.hash = v.value.unwrap_or([0; 32]);
            f.signature = v.signature;
        };
        match *self {
            Self::Suspected { node } => (f.kind, f.node) = (1, node),
            Self::Dead { node } => (f.kind, f.node) = (2, node),
            Self::Alive { node } => (f.kind, f.node) = (3, node),
            Self::Claimed { epoch, reason } => (f.kind, f.epoch, f.detail) = (4, epoch, reason as u32),
            Self::Refused { outcome } => (f.kind, f.detail) = (5, outcome as u32),
            Self::Granted { cluster, epoch, node } => {
                (f.kind, f.cluster, f.epoch, f.node) = (6, cluster, epoch, node);
            }
            Self::InSyncChanged { cluster, epoch, node, members } => {
                (f.kind, f.cluster, f.epoch, f.node, f.detail) = (7, cluster, epoch, node, members);
            }
            Self::RoleChanged { role, epoch } => (f.kind, f.detail, f.epoch) = (8, role as u32, epoch),
            Self::Released(ref v) => {
                f.kind = 9;
                vote(&mut f, v);
            }
            Self::Received(ref v) => {
                f.kind = 10;
                vote(&mut f, v);
            }
            Self::Committed { height, state_hash } => (f.kind, f.height, f.hash) = (11, height, state_hash),
            Self::ConsensusErrorReported { cluster, height } => {
                (f.kind, f.cluster, f.height) = (12, cluster, height)
            }
            Self::ForcedSwitch { cluster, node, height } => {
                (f.kind, f.cluster, f.node, f.height) = (13, cluster, node, height);
            }
            Self::Alarm { cluster, height } => (f.kind, f.cluster, f.height) = (14, cluster, height),
            Self::AgedOut { cluster, node } => (f.kind, f.cluster, f.node) = (15, cluster, node),
            Self::AuthorityReachable { up } => (f.kind, f.detail) = (16, u32::from(up)),
            Self::Joined { node, accepted } => (f.kind, f.node, f.detail) = (17, node, u32::from(accepted)),
            Self::RosterInForce { version } => (f.kind, f.height) = (18, Height(version)),
            Self::Halted { reason } => (f.kind, f.detail) = (19, reason as u32),
            Self::StoreFailed => f.kind = 20,
            Self::Unstable { cluster, switches } => (f.kind, f.cluster, f.detail) = (21, cluster, switches),
            Self::Equivocated { node, ref word } => {
                (f.kind, f.node) = (22, node);
                vote(&mut f, word);
            }
            Self::Offended { cluster, node, offence, count } => {
                (f.kind, f.cluster, f.node) = (23, cluster, node);
                (f.detail, f.round) = (offence as u32, count);
            }
            Self::Acting { epoch } => (f.kind, f.epoch) = (40, epoch),
            Self::ActingEnded { epoch, why } => (f.kind, f.epoch, f.detail) = (41, epoch, why as u32),
            Self::ProgramEnded { program, ending } => {
                (f.kind, f.round, f.detail) = (42, program as u32, ending as u32);
            }
            Self::HealthChanged { cut } => (f.kind, f.detail) = (43, u32::from(cut)),
            Self::CopyChanged { in_step, position } => {
                (f.kind, f.height, f.detail) = (44, Height(position), u32::from(in_step));
            }
            Self::Overdue { epoch } => (f.kind, f.epoch) = (45, epoch),
            Self::KeeperLost => f.kind = 46,
            Self::CatchingUp { height, missing, snapshot_permille } => {
                let missing = u32::try_from(missing).unwrap_or(u32::MAX);
                (f.kind, f.height, f.detail, f.round) = (50, height, missing, snapshot_permille);
            }
            Self::CaughtUp { height } => (f.kind, f.height) = (51, height),
            Self::SnapshotKept { height } => (f.kind, f.height) = (52, height),
            Self::Ordered { cluster, node, kind, number } => {
                (f.kind, f.cluster, f.node, f.detail) = (30, cluster, node, u32::from(kind.code()));
                f.height = Height(number);
            }
            Self::NoCommonVersion { party, theirs, ours } => {
                let ranges = [theirs.lowest, theirs.highest, ours.lowest, ours.highest];
                (f.kind, f.node, f.detail) = (60, party, u32::from_be_bytes(ranges));
            }
            Self::FencePromised { cluster, epoch, height } => {
                (f.kind, f.cluster, f.epoch, f.height) = (32, cluster, epoch, height);
            }
            Self::Fenced { cluster, node, epoch, height } => {
                (f.kind, f.cluster, f.node, f.epoch, f.height) = (31, cluster, node, epoch, height);
            }
        }
        f
    }
}
