//! What the authority says, and what this node asks of it to know it: joining, rows, histories, registrations, orders,
//! rosters (mission OUT-5, OUT-6, OUT-9, IN-4; rules 14, 15).

use super::lineage::last_epoch;
use super::{After, Duty, Node, Registering};
use crate::chain::HaltReason;
use crate::discard::Discard;
use crate::event::Event;
use crate::limits::LAST_EPOCH;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, Height, Version};
use duohuo_wire::packet::{
    ClaimReason, ForcedSwitch, History, Join, JoinAnswer, JoinVerdict, MasterKeepaliveAnswer, NodeSealedId,
    Notice, Outcome, Packet, Query, QueryScope, RegisterVerdict, Registered, RegistrationSync,
};
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::statement::SignedRow;
use std::collections::BTreeSet;

/// The sealed cluster ID is renewed at half its life.
const REJOIN_INTERVAL: Duration = Duration::from_secs(12 * 3600);

/// How far this node knows what the authority knows.
#[derive(Default)]
pub(super) struct Learning {
    /// Let in by the authority (AUTH-1).
    pub(super) joined: bool,
    /// Clusters whose masters of all epochs are known: without them a log or a certificate cannot be read.
    histories: BTreeSet<ClusterId>,
    /// The authority's table was read once: no own row in it means that nobody registered.
    pub(super) table_read: bool,
    queried_at: Option<Instant>,
    /// The newest query for changes.
    query: u64,
    /// When to renew the sealed cluster ID.
    rejoin_at: Option<Instant>,
}

impl Learning {
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.rejoin_at
    }
}

impl Node {
    pub(super) fn run_learning(&mut self) {
        if self.learning.rejoin_at.is_some_and(|at| self.now >= at) {
            self.learning.rejoin_at = None;
            self.join();
        }
    }

    /// AUTH-1, OUT-6: ask to be let in; the answer brings a fresh sealed cluster ID.
    pub(super) fn join(&mut self) {
        let request = self.random.u64();
        let (cluster, roster_version) = (self.cluster, self.config.roster.version);
        let join = Join { request, cluster, roster_version, ..Default::default() };
        self.send_to_authority(&Packet::from(join), true);
    }

    /// A packet of the authority, by datagram or stream.
    pub(super) fn on_authority(&mut self, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Notice(notice) => self.on_notice(notice),
            Packet::JoinAnswer(answer) => {
                self.on_join_answer(answer);
                Ok(())
            }
            Packet::Registered(registered) => self.on_registered(registered),
            Packet::MasterKeepaliveAnswer(answer) => {
                self.on_keepalive_answer(&answer);
                Ok(())
            }
            Packet::Probe(probe) => {
                let answer = self.probe_answer(probe.nonce);
                self.send_to_authority(&answer, false);
                Ok(())
            }
            Packet::ProbeAnswer(_) => Ok(()),
            Packet::ForcedSwitch(switch) => self.on_forced_switch(&switch),
            Packet::RosterPush(push) => self.on_roster_push(&push.roster),
            Packet::History(history) => {
                self.learn_history(&history)?;
                let complete = self.has_histories();
                self.learning.histories.insert(history.cluster);
                if !complete && self.has_histories() {
                    // What waited for it: a grant, or a first registration that no neighbour will remind us of.
                    if self.own_row().is_some() {
                        self.on_own_row();
                    } else {
                        self.consider();
                    }
                }
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }

    /// Whether the masters of all epochs of all clusters are known: only then may this node lead, because it replays
    /// words that were signed in older epochs.
    pub(super) fn has_histories(&self) -> bool {
        self.config.roster.clusters.iter().all(|c| self.learning.histories.contains(&c.id))
    }

    fn authority_key(&self) -> Option<VerifyingKey> {
        self.signers.authority()
    }

    fn on_join_answer(&mut self, answer: JoinAnswer) {
        let accepted = answer.verdict == JoinVerdict::Accepted;
        self.learning.joined = accepted;
        self.event(Event::Joined { node: self.me, accepted });
        if !accepted {
            return;
        }
        if !answer.sealed_id.is_empty() {
            self.sealed_id = answer.sealed_id;
        }
        self.learning.rejoin_at = Some(self.now + REJOIN_INTERVAL);
        self.learning.histories.clear();
        self.query(QueryScope::History);
        self.table_version = 0;
        self.query(QueryScope::Changed);
        self.learning.table_read = true;
        self.consider();
    }

    /// Ask for the table's changes, or its history, over the stream: in order, and nothing is lost.
    pub(super) fn query(&mut self, scope: QueryScope) {
        let request = self.random.u64();
        let since = if scope == QueryScope::Changed { self.table_version } else { 0 };
        let query = Query { request, scope, cluster: ClusterId(0), since, ..Default::default() };
        self.learning.queried_at = Some(self.now);
        if scope == QueryScope::Changed {
            self.learning.query = request;
        }
        self.send_to_authority(&Packet::from(query), true);
    }

    /// A keepalive of a neighbour or an answer shows that we lack a change: ask, at most once a retry interval.
    fn query_soon(&mut self, scope: QueryScope) {
        let lately =
            self.learning.queried_at.is_some_and(|at| self.now - at < self.config.timers.retry_interval);
        if !lately {
            self.query(scope);
        }
    }

    pub(super) fn look_for_newer_row(&mut self, epoch: Epoch, version: Version) {
        let known = self.own_row().map_or((Epoch(0), Version(0)), |r| (r.epoch, r.version));
        if (epoch, version) > known {
            self.query_soon(QueryScope::Cluster);
        }
    }

    fn on_keepalive_answer(&mut self, answer: &MasterKeepaliveAnswer) {
        if answer.challenge != 0 {
            self.authority_keepalive.challenge = answer.challenge;
            self.noted.answered(self.now, self.outside.is_some());
        }
        if answer.table_version > self.table_version {
            self.query_soon(QueryScope::Changed);
        }
    }

    /// A row, as the answer to something we asked or as a notice (AUTH-8).
    fn on_notice(&mut self, notice: Notice) -> Result<(), Discard> {
        let Notice { request, outcome, row, .. } = notice.clone();
        let own = row.row.cluster == self.cluster;
        let known = self.own_row().map(|r| (r.epoch, r.version));
        self.learn_row(row)?;
        let news = self.own_row().map(|r| (r.epoch, r.version)) > known;
        if request != 0 && request == self.learning.query {
            // The answers to one query follow each other on one stream: what changed up to here is known.
            self.table_version = self.table_version.max(notice.table_version);
            // Asked since the start, so what it says is no older (B-NOTE-3).
            let writes = if own { self.log.end_doubt(notice.row.row.epoch) } else { Vec::new() };
            if !writes.is_empty() {
                self.write(writes);
                self.consider();
            }
        }
        if !own || request == 0 || self.rehearsed_claim(request, outcome) {
            return Ok(());
        }
        if self.answered(request) {
            if !matches!(outcome, Outcome::Done | Outcome::Notice) {
                self.event(Event::Refused { outcome });
                if outcome == Outcome::BadSealedId {
                    self.join(); // it expired, or was never ours: the answer brings a fresh one
                }
                let wait = match outcome {
                    Outcome::Stale if news => Duration::ZERO,
                    Outcome::IncumbentHeard => self.config.timers.suspect_interval,
                    _ => self.config.timers.dead_interval,
                };
                self.hold_back(wait);
            }
            self.consider();
        } else if !matches!(outcome, Outcome::Notice) {
            if let Duty::Lead(master) = &mut self.duty {
                master.change_refused(request);
            }
            self.change_in_sync();
        }
        Ok(())
    }

    /// Who was master when, from whoever passed it on: the authority signed it.
    pub(super) fn learn_history(&mut self, history: &History) -> Result<(), Discard> {
        let key = self.authority_key().ok_or(Discard::UnknownKey)?;
        if last_epoch(history) > LAST_EPOCH || !history.verify(&key) {
            return Err(Discard::BadStatement);
        }
        for (epoch, node) in (history.first_epoch.0..).zip(&history.nodes) {
            self.chain.learn_grant(history.cluster, Epoch(epoch), *node);
        }
        self.lineage.learn(history);
        self.catch_up_anew();
        if history.cluster == self.cluster {
            self.take_up_group_keys();
        }
        Ok(())
    }

    /// Learn a signed row from whoever passed it on.
    pub(super) fn learn_row(&mut self, signed: SignedRow) -> Result<(), Discard> {
        let row = &signed.row;
        let (cluster, epoch, master) = (row.cluster, row.epoch, row.master);
        let newest = self.rows.get(&cluster).map(|s| (s.row.epoch, s.row.version));
        let is_news = newest.is_none_or(|newest| (epoch, row.version) > newest);
        if !is_news && self.lineage.knows(cluster, epoch) {
            return Ok(()); // old news is no error: notices are repeated on purpose
        }
        let key = self.authority_key().ok_or(Discard::UnknownKey)?;
        let known = self.config.roster.node(master).is_some_and(|(c, _)| c.id == cluster);
        if !known || epoch > LAST_EPOCH || !signed.verify(&key) {
            return Err(Discard::BadStatement);
        }
        self.chain.learn_grant(cluster, epoch, master);
        self.lineage.learn_row(&signed);
        self.catch_up_anew();
        if is_news {
            if newest.map_or(0, |(known, _)| known.0) + 1 < epoch.0 && self.learning.joined {
                self.query(QueryScope::History); // a grant between was missed
            }
            self.rows.insert(cluster, signed.clone());
            self.row_changes += 1;
        }
        if cluster == self.cluster {
            self.take_up_group_keys();
            if is_news {
                self.on_own_row();
            }
        } else if matches!(self.duty, Duty::Lead(_)) {
            // Members verify blocks and need the grants of all clusters; they are told before the blocks come. The
            // other masters may not have heard of it: the authority may be away since.
            let news = Packet::from(notice(signed));
            self.tell_members(&news);
            self.tell_masters(&news);
            self.run_mesh();
        }
        Ok(())
    }

    fn on_own_row(&mut self) {
        let Some(row) = self.own_row().cloned() else {
            return;
        };
        self.answered_by_row();
        let barred = row.barred.contains(&self.me);
        let lost = row.in_sync.contains(&self.me)
            && !row.unfenced // who is forced never had it
            && self.log.promised() == Epoch(0)
            && self.registering != Registering::Marked;
        if lost && !matches!(self.duty, Duty::Halted) {
            self.halt(HaltReason::LostLog);
            return;
        }
        if row.epoch > self.log.synced() {
            self.out_of_step(row.master);
        }
        let leads = match &mut self.duty {
            Duty::Lead(master) if master.epoch() == row.epoch && !barred => {
                master.learn(&row);
                true
            }
            _ => false,
        };
        if leads {
            self.release();
            self.greet_members();
            self.change_in_sync();
        } else if matches!(self.duty, Duty::Lead(_)) {
            self.step_down();
        } else if matches!(self.duty, Duty::Adopt(epoch) if epoch < row.epoch) {
            // Over before it began. The log of whoever follows may come before the promise is written, and it comes once.
            self.duty = Duty::Follow;
        }
        self.fence_learns(&row);
        let ours = row.master == self.me && row.epoch > self.log.bound() && !barred && self.has_histories();
        if ours && !matches!(self.duty, Duty::Halted) {
            // Rule 15: promise durably first; everything else follows from `After::Adopted`. A note on the disk is a promise
            // (B-NOTE-2), if all else that this log holds is there, too. Who is forced writes it: it has time.
            self.noted.granted(self.now, row.epoch);
            let is_noted = self.log.is_noted(row.epoch) && self.log.is_acknowledged() && !row.unfenced;
            let mut writes = self.log.adopt(row.epoch);
            if is_noted {
                self.owe_promise();
                writes.clear();
            }
            self.duty = Duty::Adopt(row.epoch);
            self.persist(writes, After::Adopted(row.epoch));
        }
        self.consider();
        self.run_mesh();
    }

    fn on_registered(&mut self, registered: Registered) -> Result<(), Discard> {
        // The notice of our own registration may have come before this answer and ended the request.
        self.answered(registered.request);
        match registered.verdict {
            RegisterVerdict::Accepted => {
                self.learn_registration(registered.registration_epoch, registered.sealed_ids);
            }
            RegisterVerdict::AlreadyRegistered => self.query(QueryScope::Changed),
            RegisterVerdict::Refused | RegisterVerdict::Starting => {
                self.hold_back(self.config.timers.dead_interval);
            }
        }
        self.consider();
        Ok(())
    }

    /// OUT-5, IN-4: what registration returned, on every node of the cluster.
    pub(super) fn learn_registration(&mut self, registration_epoch: u32, sealed_ids: Vec<NodeSealedId>) {
        if let Some(own) = sealed_ids.iter().find(|s| s.node == self.me) {
            self.sealed_id = own.sealed_id.clone();
        }
        self.registration = Some((registration_epoch, sealed_ids));
        if matches!(self.duty, Duty::Lead(_) | Duty::Adopt(_)) {
            self.push_registration();
        }
        self.consider();
    }

    /// The master pushes registration data to its cluster.
    pub(super) fn push_registration(&mut self) {
        if let Some(packet) = self.registration_sync() {
            self.tell_members(&packet);
        }
    }

    pub(super) fn registration_sync(&self) -> Option<Packet> {
        let (registration_epoch, sealed_ids) = self.registration.clone()?;
        let cluster = self.cluster;
        Some(Packet::from(RegistrationSync { cluster, registration_epoch, sealed_ids, ..Default::default() }))
    }

    /// OUT-9: the old master is barred by the row that follows; until it comes, the order itself is enough to stop
    /// acting and to stop counting on it.
    fn on_forced_switch(&mut self, switch: &ForcedSwitch) -> Result<(), Discard> {
        let key = self.authority_key().ok_or(Discard::UnknownKey)?;
        let order = &switch.order;
        if order.cluster != self.cluster {
            return Err(Discard::Forbidden);
        }
        if !order.verify(&key) {
            return Err(Discard::BadStatement);
        }
        if self.own_row().is_some_and(|r| r.epoch > order.epoch) {
            return Err(Discard::OldEpoch);
        }
        if order.height == Height(0) {
            // Planned: whoever it names finishes what it is at, and resigns.
            return self.begin_to_hand_over(order.epoch, order.old_master);
        }
        let already = self.own_row().is_some_and(|r| r.barred.contains(&order.old_master));
        if !already {
            self.event(Event::ForcedSwitch {
                cluster: order.cluster,
                node: order.old_master,
                height: order.height,
            });
            self.note_reason(ClaimReason::Forced);
            self.query(QueryScope::Changed);
        }
        if order.old_master == self.me && matches!(self.duty, Duty::Lead(_)) {
            self.step_down();
            self.consider();
        }
        Ok(())
    }

    fn on_roster_push(&mut self, bytes: &Bytes) -> Result<(), Discard> {
        let roster = duohuo_wire::roster::Roster::decode(bytes).map_err(Discard::Decode)?;
        let operator =
            VerifyingKey::from_bytes(&self.config.operator_key).map_err(|_| Discard::UnknownKey)?;
        if !roster.verify(&operator) || roster.consortium != self.config.roster.consortium {
            return Err(Discard::BadStatement);
        }
        self.on_roster(roster);
        Ok(())
    }
}

/// A row to pass on.
pub(super) fn notice(row: SignedRow) -> Notice {
    let table_version = row.row.table_version;
    Notice { request: 0, outcome: Outcome::Notice, table_version, row, ..Default::default() }
}
