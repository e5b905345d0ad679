//! A takeover that is rehearsed (spec/behaviour.md 6.2): the way of a real one, and nothing is left of it.

use super::group::keepalive;
use super::network;
use super::scene::*;
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Table};
use duohuo_core::store::{META_LOG_END, META_NOTE, META_PROMISE};
use duohuo_tests::consortium::CLIENT;
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{Epoch, Height, LogIndex, Version};
use duohuo_wire::packet::*;
use duohuo_wire::rehearsal::{self, Kept, RehearsalEnd, Rehearsed};

/// A claim of node 12 that is rehearsed.
fn rehearsed_claim(sealed_id: &bytes::Bytes, request: u64) -> Update {
    let extensions = rehearsal::rehearsing(77);
    let (epoch, version) = (Epoch(0), Version(0));
    Update { request, epoch, version, extensions, ..network::claim(sealed_id) }
}

/// B-DRL-1, B-DRL-3: answered when its own write is durable; the table, its log and the incumbent know nothing of it.
#[test]
fn b_drl_3_a_rehearsed_claim_is_answered_after_a_write_and_changes_nothing() {
    let (mut z, mut m, mut a, sealed_id) = network::three();
    let before = (z.row(network::A), commands(&z), z.events.len());
    z.quick_disk = false;
    a.say(&mut z, rehearsed_claim(&sealed_id, 8));
    assert_eq!((network::notices(&a.heard(&mut z)), z.is_writing()), (vec![], true));
    a.say(&mut z, rehearsed_claim(&sealed_id, 8));
    assert!(z.sync_one() && !z.is_writing(), "a repetition is not written for");
    assert_eq!(network::notices(&a.heard(&mut z)), [(8, Outcome::Done, 1, 2)]);
    z.pass(ms(10));
    assert_eq!((z.row(network::A), commands(&z), z.events.len()), before);
    assert_eq!(network::probe_of(&m.heard(&mut z)), None, "the incumbent is not asked");
    let mut z = z.restarted();
    z.pass(ms(201));
    assert_eq!(z.row(network::A), before.0, "nobody reads what was written");
    // The real thing is as it was: not damped, not refused.
    let mut a = network::connected(&mut z, network::STANDBY);
    let sealed_id = network::join(&mut z, &mut a, network::A).sealed_id;
    a.say(&mut z, network::claim(&sealed_id));
    z.pass(ms(10));
    assert_eq!(z.row(network::A).unwrap().epoch, Epoch(2));
}

fn commands(z: &Lone) -> usize {
    z.disk().keys().filter(|(table, _)| matches!(table, Table::Command | Table::Record)).count()
}

/// B-DRL-1: what says that it is a rehearsal and is of a real epoch is a claim; what is of no epoch and does not say so is stale.
#[test]
fn b_drl_1_only_what_is_of_nobodys_epoch_is_a_rehearsal() {
    let (mut z, _m, mut a, sealed_id) = network::three();
    a.say(&mut z, Update { extensions: Default::default(), ..rehearsed_claim(&sealed_id, 8) });
    assert_eq!(network::notices(&a.heard(&mut z)), [(8, Outcome::Stale, 1, 2)]);
    let real = Update { extensions: rehearsal::rehearsing(77), ..network::claim(&sealed_id) };
    a.say(&mut z, real);
    z.pass(ms(10));
    assert_eq!(z.row(network::A).unwrap().epoch, Epoch(2), "its master answered nothing");
}

/// B-DRL-3: it meets what a claim would meet; nothing is written then.
#[test]
fn b_drl_3_what_stands_against_a_claim_stands_against_its_rehearsal() {
    let (mut z, mut m, mut a, sealed_id) = network::three();
    z.quick_disk = false;
    m.say(&mut z, network::change(ChangeKind::Remove, 1, 2, network::STANDBY));
    z.sync();
    a.heard(&mut z);
    for _ in 0..20 {
        a.say(&mut z, rehearsed_claim(&sealed_id, 8));
        assert_eq!(network::notices(&a.heard(&mut z)), [(8, Outcome::NotInSync, 1, 3)]);
    }
    let other = network::join(&mut z, &mut m, network::A).sealed_id;
    a.say(&mut z, rehearsed_claim(&other, 8));
    assert_eq!(network::notices(&a.heard(&mut z)), [(8, Outcome::BadSealedId, 1, 3)]);
    m.heard(&mut z);
    m.say(&mut z, rehearsed_claim(&other, 8));
    assert_eq!(network::notices(&m.heard(&mut z)), [(8, Outcome::Stale, 1, 3)], "a master claims nothing");
    assert!(!z.is_writing());
    assert!(!z.events.iter().any(|e| matches!(e, Event::Offended { .. })));
}

/// B-DRL-4: one node makes the authority write no more than twice a second.
#[test]
fn b_drl_4_a_flood_of_rehearsals_is_dropped() {
    let (mut z, _m, mut a, sealed_id) = network::three();
    z.quick_disk = false;
    for request in 1..=10 {
        a.say(&mut z, rehearsed_claim(&sealed_id, request));
    }
    assert!(z.sync_one() && !z.is_writing());
    assert_eq!(z.discards("rate_limited"), 9);
    z.pass(ms(499));
    a.say(&mut z, rehearsed_claim(&sealed_id, 11));
    assert!(!z.is_writing());
    z.pass(ms(1));
    a.say(&mut z, rehearsed_claim(&sealed_id, 11));
    assert!(z.is_writing());
}

/// Node 22 stands by: its master acts and a third node is there, both heard and with a stream; and a client.
struct StandsBy {
    scene: Scene,
    m: Peer,
    third: Peer,
    client: Peer,
}

impl StandsBy {
    fn new() -> Self {
        let (mut scene, m) = Scene::following();
        let n = &mut scene.n;
        let mut third = Peer::new(n, THIRD);
        third.accept_stream(n);
        let mut client = Peer::new(n, CLIENT);
        client.open_stream(n, true);
        let mut all = Self { scene, m, third, client };
        all.hear();
        all.scene.z.heard(&mut all.scene.n);
        all.third.read(&mut all.scene.n);
        all.m.read(&mut all.scene.n);
        all
    }

    /// Both are heard, as if they were heard all the time.
    fn hear(&mut self) {
        let n = &mut self.scene.n;
        n.pass(ms(10));
        let group = n.consortium.roster.cluster(A).unwrap().group;
        let sent = n.take_datagrams(group);
        let sequence = Header::decode(sent.last().unwrap()).unwrap().sequence & 0xFFFF_FFFF;
        let heard = vec![Heard { node: ME, sequence: u32::try_from(sequence).unwrap() }];
        let master = keepalive(self.m.address, heard.clone());
        self.m.keep_alive(n, master);
        let ordinary =
            NodeKeepalive { priority: 100, role: Role::Ordinary, ..keepalive(self.third.address, heard) };
        self.third.keep_alive(n, ordinary);
    }

    fn ask(&mut self) {
        let query = StatusQuery { request: 6, extensions: rehearsal::asking() };
        self.client.tell(&mut self.scene.n, query);
    }

    /// The claim that is rehearsed, if one came.
    fn claim(&mut self) -> Option<Update> {
        let mut claims = self.scene.claims();
        claims.pop()
    }

    fn answer(&mut self, claim: &Update, outcome: Outcome) {
        let now = row(&self.scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
        self.scene.z.say(&mut self.scene.n, Notice { request: claim.request, outcome, ..notice(now) });
    }

    /// The log that is rehearsed, as the third node gets it.
    fn log(&mut self) -> Option<Resync> {
        let of = |p| match p {
            Packet::Resync(resync) => Some(resync),
            _ => None,
        };
        self.third.read(&mut self.scene.n).into_iter().find_map(of)
    }

    fn acknowledge(&mut self, nonce: u64) {
        let extensions = Kept { nonce, durable_us: 400 }.extensions();
        self.third.tell(&mut self.scene.n, Ack { extensions, ..Default::default() });
    }

    fn told(&mut self) -> Option<Rehearsed> {
        let of = |p| match p {
            Packet::StatusAnswer(answer) => Some((answer.request, Rehearsed::of(&answer.extensions))),
            _ => None,
        };
        let told = self.client.read(&mut self.scene.n).into_iter().find_map(of)?;
        assert_eq!(told.0, 6);
        told.1
    }

    fn on_disk(&self, key: u64) -> Option<Vec<u8>> {
        self.scene.n.disk().get(&(Table::Meta, key)).map(|value| value.to_vec())
    }

    /// What a rehearsal must leave as it was.
    fn state(&self) -> ([Option<Vec<u8>>; 3], usize) {
        let n = &self.scene.n;
        let records = n.disk().keys().filter(|(table, _)| *table == Table::Record).count();
        ([META_PROMISE, META_NOTE, META_LOG_END].map(|key| self.on_disk(key)), records)
    }
}

/// B-DRL-1, B-DRL-2: claim, log and acknowledgement go their way, the client is told, and nothing has changed.
#[test]
fn b_drl_2_a_standby_rehearses_a_takeover_and_stays_what_it_is() {
    let mut s = StandsBy::new();
    let before = s.state();
    s.scene.n.events.clear();
    s.ask();
    let claim = s.claim().expect("it rehearses the claim");
    assert_eq!((claim.epoch, claim.version, &claim.sealed_id[..]), (Epoch(0), Version(0), &SEALED[..]));
    let nonce = rehearsal::nonce_of(&claim.extensions).unwrap();
    assert_eq!((s.log(), s.told()), (None, None), "the authority comes first");
    s.scene.n.pass(ms(1));
    s.answer(&claim, Outcome::Done);
    let log = s.log().expect("the log to who would be in its set");
    assert_eq!(
        (log.epoch, log.records.len(), rehearsal::nonce_of(&log.extensions)),
        (Epoch(0), 0, Some(nonce))
    );
    assert!(s.m.read(&mut s.scene.n).is_empty(), "the master would be gone");
    s.scene.n.pass(ms(1));
    assert_eq!(s.told(), None);
    let unexpected = s.scene.n.discards("unexpected");
    s.acknowledge(nonce ^ 1);
    assert_eq!((s.told(), s.scene.n.discards("unexpected")), (None, unexpected + 1));
    s.acknowledge(nonce);
    let told = s.told().expect("it is over");
    assert_eq!((told.end, told.outcome), (RehearsalEnd::Whole, Some(Outcome::Done)));
    assert_eq!(told.suspected_us, Some(15_000));
    assert!((1_000..2_000).contains(&told.claimed_us.unwrap()), "{told:?}");
    assert!(told.noted_us.is_some() && told.started_us.is_some() && told.promised_us.is_some());
    let [member] = &told.members[..] else { panic!("{told:?}") };
    assert_eq!((member.node, member.durable_us), (THIRD, Some(400)));
    assert!((1_000..2_000).contains(&member.acknowledged_us.unwrap()), "{told:?}");
    assert_eq!(s.state(), before);
    assert_eq!(s.scene.n.events, [], "nobody was suspected, and nothing claimed");
    // It follows as before.
    s.m.tell(&mut s.scene.n, append(0, vec![record(1, 1, b"a")]));
    assert_eq!(acks(&s.m.read(&mut s.scene.n)), [(1, 1, 1)]);
}

/// B-DRL-2: a log that does not replay is told, and halts nobody; its words are dropped with its core.
#[test]
fn b_drl_2_a_log_that_does_not_replay_is_found_without_a_halt() {
    let mut s = StandsBy::new();
    s.m.tell(&mut s.scene.n, append(0, vec![record(1, 1, b"no record of a chain")]));
    s.m.read(&mut s.scene.n);
    s.ask();
    let claim = s.claim().unwrap();
    s.answer(&claim, Outcome::Done);
    let told = s.told().unwrap();
    assert_eq!((told.end, told.records), (RehearsalEnd::WouldHalt, 1));
    assert_eq!(s.log().map(|log| log.records.len()), Some(1));
    assert!(!s.scene.n.events.iter().any(|e| matches!(e, Event::Halted { .. } | Event::Released(_))));
    s.m.tell(&mut s.scene.n, append(1, vec![record(1, 1, b"b")]));
    assert_eq!(acks(&s.m.read(&mut s.scene.n)), [(1, 2, 1)]);
}

/// B-DRL-4: a log is sent to the members at 1 MiB a second, so a client cannot fill their links by asking again and again.
#[test]
fn b_drl_4_a_long_log_makes_the_next_one_wait() {
    let mut s = StandsBy::new();
    s.m.tell(&mut s.scene.n, append(0, vec![record(1, 1, &[b'x'; 1 << 20])]));
    s.m.read(&mut s.scene.n);
    s.ask();
    let claim = s.claim().unwrap();
    s.answer(&claim, Outcome::Done);
    assert_eq!(s.told().map(|told| told.records), Some(1));
    for _ in 0..99 {
        s.hear();
    }
    s.ask();
    assert_eq!(
        s.told().map(|told| told.end),
        Some(RehearsalEnd::Busy),
        "it has sent a MiB less than a second ago"
    );
    for _ in 0..2 {
        s.hear();
    }
    s.ask();
    assert!(s.claim().is_some());
}

/// B-DRL-2: who has no master that acts, or is in another's place already, rehearses nothing.
#[test]
fn b_drl_2_who_may_have_to_take_over_does_not_rehearse() {
    let mut s = StandsBy::new();
    s.scene.n.pass(ms(40));
    s.scene.claims();
    s.ask();
    assert_eq!(s.told().map(|told| told.end), Some(RehearsalEnd::Unfit), "its master is silent");

    let mut s = StandsBy::new();
    s.scene.granted(&[ME, THIRD]);
    assert!(s.scene.leads());
    s.ask();
    assert_eq!(s.told().map(|told| told.end), Some(RehearsalEnd::Unfit), "it leads");
    assert!(s.scene.leads());
}

/// B-DRL-2: a grant that comes meanwhile is adopted; no core is started beside it, and none is dropped.
#[test]
fn b_drl_2_a_real_takeover_comes_before_a_rehearsed_one() {
    let mut s = StandsBy::new();
    s.ask();
    let claim = s.claim().unwrap();
    s.scene.granted(&[ME, THIRD]);
    assert!(s.scene.leads());
    assert_eq!(s.told().map(|told| told.end), Some(RehearsalEnd::Overtaken));
    let old = row(&s.scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
    s.scene.z.say(&mut s.scene.n, Notice { request: claim.request, outcome: Outcome::Done, ..notice(old) });
    assert!(s.scene.leads());
    assert!(s.log().is_some_and(|log| log.epoch == Epoch(2)), "its own");
}

/// B-DRL-1, B-DRL-3: a member takes nothing of the log, and acknowledges when its own write is durable.
#[test]
fn b_drl_1_a_member_takes_nothing_of_a_log_that_is_rehearsed() {
    let mut s = StandsBy::new();
    s.m.tell(&mut s.scene.n, append(0, vec![record(1, 1, b"a")]));
    let before = s.state();
    let n = &mut s.scene.n;
    n.quick_disk = false;
    let lies = Resync {
        start: LogIndex(0),
        height: Height(9),
        records: vec![record(1, 0, b"x"), record(2, 0, b"y")],
        extensions: rehearsal::rehearsing(5),
        ..Default::default()
    };
    s.third.tell(n, lies.clone());
    assert_eq!((acks(&s.third.read(n)), n.is_writing()), (vec![], true));
    n.sync();
    let answers = s.third.read(n);
    let [Packet::Ack(ack)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(
        (ack.epoch, ack.synced, Kept::of(&ack.extensions).map(|kept| kept.nonce)),
        (Epoch(0), Epoch(0), Some(5))
    );
    assert_eq!(s.state(), before);
    // B-DRL-4
    let n = &mut s.scene.n;
    s.third.tell(n, lies.clone());
    assert_eq!((n.is_writing(), n.discards("rate_limited")), (false, 1));
    s.third.tell(n, Resync { extensions: Default::default(), ..lies });
    assert_eq!((n.is_writing(), n.discards("old_epoch")), (false, 1));
    n.quick_disk = true;
    s.m.tell(n, append(1, vec![record(1, 1, b"b")]));
    assert_eq!(acks(&s.m.read(n)).last(), Some(&(1, 2, 1)));
}

/// B-DRL-4: one at a time, and not at once again; who does not answer is waited for two seconds.
#[test]
fn b_drl_4_one_rehearsal_at_a_time_and_it_ends() {
    let mut s = StandsBy::new();
    s.ask();
    let claim = s.claim().unwrap();
    s.ask();
    assert_eq!(s.told().map(|told| told.end), Some(RehearsalEnd::Busy));
    for _ in 0..199 {
        s.hear();
    }
    assert_eq!(s.told(), None);
    let again = s.scene.claims();
    assert!(again.len() > 3 && again.iter().all(|one| *one == claim), "it is repeated: {}", again.len());
    s.hear();
    let told = s.told().unwrap();
    assert_eq!((told.end, told.claimed_us), (RehearsalEnd::NoAuthority, None));

    let mut s = StandsBy::new();
    s.ask();
    let claim = s.claim().unwrap();
    s.answer(&claim, Outcome::Paused);
    let told = s.told().unwrap();
    assert_eq!((told.end, told.outcome), (RehearsalEnd::Refused, Some(Outcome::Paused)));
    s.ask();
    assert_eq!(s.told().map(|told| told.end), Some(RehearsalEnd::Busy), "a moment ago");
    for _ in 0..50 {
        s.hear();
    }
    s.ask();
    let claim = s.claim().unwrap();
    s.answer(&claim, Outcome::Done);
    for _ in 0..201 {
        s.hear();
    }
    let told = s.told().unwrap();
    assert_eq!((told.end, told.members[0].acknowledged_us), (RehearsalEnd::NoMember, None));
}

/// B-DRL-2: an authority that knows of no rehearsals says that the claim is stale: its write is not in it, all else is.
#[test]
fn an_authority_of_an_older_program_is_rehearsed_with_as_far_as_it_goes() {
    let mut s = StandsBy::new();
    s.ask();
    let claim = s.claim().unwrap();
    s.answer(&claim, Outcome::Stale);
    let nonce = rehearsal::nonce_of(&s.log().unwrap().extensions).unwrap();
    s.scene.n.give(Input::Tick);
    s.acknowledge(nonce);
    let told = s.told().unwrap();
    assert_eq!((told.end, told.outcome), (RehearsalEnd::Whole, Some(Outcome::Stale)));
}

/// A status that is asked for without a rehearsal brings none, as before.
#[test]
fn a_question_for_the_status_rehearses_nothing() {
    let mut s = StandsBy::new();
    s.client.tell(&mut s.scene.n, StatusQuery { request: 6, ..Default::default() });
    assert_eq!((s.told(), s.claim()), (None, None));
}
