//! How a master came to act, as it tells it and as the authority keeps it (spec/behaviour.md 4.9).

use super::network::*;
use super::scene::Scene;
use duohuo_core::io::Table;
use duohuo_tests::consortium::CLIENT;
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, Version};
use duohuo_wire::packet::*;
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::takeover::{SignedTakeover, Takeover};

fn telling(epoch: u64, challenge: u64, takeover: Takeover) -> MasterKeepalive {
    let mut said = keepalive(epoch, challenge);
    takeover.add_to(&mut said.extensions);
    said
}

/// What the authority shows of takeovers.
fn kept(z: &mut Lone) -> Vec<SignedTakeover> {
    let mut client = Peer::new(z, CLIENT);
    client.open_stream(z, true);
    client.tell(z, JournalQuery { request: 4, from: 1, ..Default::default() });
    let pages = client.read(z);
    let page = pages.iter().find_map(|p| match p {
        Packet::Journal(page) => Some(page),
        _ => None,
    });
    SignedTakeover::of(&page.expect("a page").extensions).unwrap_or_default()
}

/// 11 kept itself alive, fell silent for 30 ms, and 12 was granted epoch 2 by decision 4: its challenge.
fn switched() -> (Lone, Peer, Peer, u64) {
    let (mut z, mut m, mut a, sealed_id) = three();
    let challenge = alive(&mut z, &mut m, keepalive(1, 0));
    alive(&mut z, &mut m, keepalive(1, challenge));
    z.pass(ms(30));
    m.hang_up(&mut z);
    a.say(&mut z, claim(&sealed_id));
    z.pass(ms(5));
    let row = z.row(A).unwrap();
    assert_eq!((row.epoch, row.master), (Epoch(2), STANDBY));
    let challenge = alive(&mut z, &mut a, keepalive(2, 0));
    (z, m, a, challenge)
}

fn told() -> Takeover {
    Takeover {
        heard_us: Some(35_000),
        suspected_us: Some(2_000),
        claimed_us: Some(1_500),
        promised_us: Some(900),
        ready_us: Some(2_500),
        spoke_us: Some(3_000),
        committed_us: Some(9_000),
    }
}

/// B-TKO-1: kept with what the authority measured itself, signed, and still there after a restart.
#[test]
fn b_tko_1_what_a_master_tells_of_its_takeover_is_kept() {
    let (mut z, _, mut a, challenge) = switched();
    assert_eq!(kept(&mut z), []);
    alive(&mut z, &mut a, telling(2, challenge, told()));
    let all = kept(&mut z);
    let one = &all[0];
    assert_eq!((all.len(), one.number, one.before, one.decision, one.after), (1, 1, [0; 32], 4, 4));
    assert_eq!(one.takeover, told());
    let authority = VerifyingKey::from_bytes(&z.consortium.roster.authority.signing_key).unwrap();
    assert!(one.verify(&authority));
    let (heard, asked) = (one.granting.heard_us.unwrap(), one.granting.asked_us.unwrap());
    assert!((30_000..=35_000).contains(&heard) && asked <= 5_000, "{:?}", one.granting);
    assert!(one.granting.durable_us.is_some());
    assert_eq!(one.outage_us(), Some(37_500));
    let mut z = z.restarted();
    z.pass(ms(201));
    assert_eq!(kept(&mut z), all);
    // Nothing is missing for that grant: a repetition to the new run is not kept again.
    let mut a = connected(&mut z, STANDBY);
    let challenge = alive(&mut z, &mut a, keepalive(2, 0));
    alive(&mut z, &mut a, telling(2, challenge, told()));
    assert_eq!(kept(&mut z).len(), 1);
}

/// B-TKO-1: not another node, not in another epoch, not by a keepalive that echoes no challenge; and only once.
#[test]
fn b_tko_1_nobody_else_tells_it_and_nobody_tells_it_twice() {
    let (mut z, mut m, mut a, challenge) = switched();
    m.open_datagram(&mut z, true);
    m.say(&mut z, telling(2, challenge, told()));
    m.say(&mut z, telling(1, challenge, told()));
    a.say(&mut z, telling(1, challenge, told()));
    a.say(&mut z, telling(3, challenge, told()));
    a.say(&mut z, telling(2, 77, told()));
    assert_eq!(kept(&mut z), []);
    let challenge = alive(&mut z, &mut a, keepalive(2, 78));
    let challenge = alive(&mut z, &mut a, telling(2, challenge, told()));
    let other = Takeover { ready_us: Some(1), ..told() };
    alive(&mut z, &mut a, telling(2, challenge, other));
    let all = kept(&mut z);
    assert_eq!((all.len(), all[0].takeover), (1, told()), "the first word counts");
    let records = z.disk().keys().filter(|(table, _)| *table == Table::Record).count();
    assert_eq!(records, 1);
}

/// B-TKO-1: a master that is replaced before it told anything leaves the authority's own spans.
#[test]
fn b_tko_1_a_grant_that_another_follows_is_kept_without_its_master() {
    let (mut z, _, mut a, _) = switched();
    let sealed_id = join(&mut z, &mut a, A).sealed_id;
    // It restarted, and is granted again.
    let own = Update { epoch: Epoch(2), version: Version(0), alive: vec![STANDBY], ..claim(&sealed_id) };
    a.say(&mut z, own);
    assert_eq!(z.row(A).unwrap().epoch, Epoch(3));
    let all = kept(&mut z);
    assert_eq!((all.len(), all[0].decision, all[0].after), (1, 4, 5));
    assert_eq!(all[0].takeover, Takeover::default());
    assert_eq!(all[0].outage_us(), None, "nobody knows when it was ready");
    assert!(all[0].granting.heard_us.is_some() && all[0].granting.durable_us.is_some());
}

/// B-TKO-2: alone in its set it could speak, and without a quorum it commits nothing: after 10 s it tells what there is, and
/// stops when it was answered often enough.
#[test]
fn b_tko_2_a_master_that_commits_nothing_tells_what_there_is() {
    let (mut scene, _m) = Scene::following();
    let me = super::scene::ME;
    scene.granted(&[me]);
    let takeovers = |packets: Vec<Packet>| -> Vec<Option<Takeover>> {
        let of = |p: Packet| match p {
            Packet::MasterKeepalive(k) => Some(Takeover::of(&k.extensions)),
            _ => None,
        };
        packets.into_iter().filter_map(of).collect()
    };
    scene.n.pass(ms(9_000));
    let early = takeovers(scene.z.heard(&mut scene.n));
    assert!(early.len() > 100 && early.iter().all(Option::is_none), "it may commit yet");
    scene.n.pass(ms(30_000));
    let late = takeovers(scene.z.heard(&mut scene.n));
    let told = late.last().copied().flatten().expect("long enough");
    assert!(told.promised_us.is_some() && told.ready_us.is_some());
    assert_eq!(
        (told.suspected_us, told.claimed_us),
        (None, None),
        "nobody was suspected, and it claimed nothing"
    );
    assert_eq!(told.committed_us, None, "no quorum");
    for challenge in 1..=16 {
        let answer = MasterKeepaliveAnswer { challenge, epoch: Epoch(2), ..Default::default() };
        scene.z.say(&mut scene.n, answer);
    }
    scene.z.heard(&mut scene.n);
    scene.n.pass(ms(50));
    let after = takeovers(scene.z.heard(&mut scene.n));
    assert!(!after.is_empty() && after.iter().all(Option::is_none));
}
