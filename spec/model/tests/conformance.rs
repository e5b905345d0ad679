//! Runs of the production engine under random faults are runs of the model; runs with a step changed are not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test that lacks its parts must stop

use bytes::{BufMut, Bytes, BytesMut};
use duohuo_core::authority::table::Command;
use duohuo_core::io::{Table, Write};
use duohuo_core::store::{META_LOG_END, META_PROMISE, META_SNAPSHOTS};
use duohuo_model::trace::{Accepted, Acceptor, Observation, Refusal, Refused};
use duohuo_tests::checker::Step;
use duohuo_tests::plan::Plan;
use duohuo_tests::sim;
use duohuo_wire::ids::{ClusterId, NodeId};
use std::collections::BTreeMap;

/// Runs that are judged.
const SEEDS: u64 = 10;

type Clusters = BTreeMap<NodeId, ClusterId>;

/// The run of a seed, and who is in which cluster.
fn run(seed: u64) -> (Clusters, Vec<Observation>) {
    let plan = Plan::draw(seed);
    let mut world = sim::world_of(&plan);
    world.checker.history = Some(Vec::new());
    let outcome = sim::run_in(&mut world, &plan, false);
    assert_eq!(outcome.failure, None, "seed {seed}");
    let steps = world.checker.history.take().unwrap();
    let clusters: Clusters =
        world.consortium.roster.all_nodes().map(|(cluster, node)| (node.id, cluster.id)).collect();
    // A word of another cluster that is passed on is not one of the speaker's.
    let own = |step: &Step| !matches!(step, Step::Released { node, vote } if clusters[node] != vote.cluster);
    let observed = steps.into_iter().filter(own).map(|step| match step {
        Step::Wrote { node, writes } => Observation::Wrote { node, writes },
        Step::Released { node, vote } => Observation::Released {
            node,
            epoch: vote.epoch,
            height: vote.height.0,
            signature: vote.signature,
        },
        Step::Killed { node } => Observation::Crashed { node },
    });
    let observed = observed.collect();
    (clusters, observed)
}

fn judge(clusters: &Clusters, run: &[Observation]) -> Result<Accepted, Refused> {
    Acceptor::new(clusters.iter().map(|(node, cluster)| (*node, *cluster))).accept(run)
}

#[test]
fn runs_of_the_engine_under_random_faults_are_runs_of_the_model() {
    for seed in 1..=SEEDS {
        let (clusters, run) = run(seed);
        let accepted = judge(&clusters, &run).unwrap_or_else(|refused| panic!("seed {seed}: {refused}"));
        println!("seed {seed}: {} steps, {accepted:?}", run.len());
        assert!(accepted.words > 100 && accepted.decisions > 8, "seed {seed} shows too little: {accepted:?}");
    }
}

/// A run without any change is accepted, and with this one is refused for this reason.
fn refused(change: impl Fn(&Clusters, &mut Vec<Observation>), why: &[Refusal]) {
    let (clusters, mut run) = run(1);
    assert!(judge(&clusters, &run).is_ok());
    change(&clusters, &mut run);
    let refused = judge(&clusters, &run).unwrap_err();
    println!("{refused}");
    assert!(why.contains(&refused.why), "{refused}");
}

/// The place of a write by which a proven snapshot takes the place of records that the node had.
fn snapshot_for_records(run: &[Observation]) -> Option<usize> {
    run.iter().position(|step| {
        let Observation::Wrote { writes, .. } = step else { return false };
        let snapshot = writes.iter().any(
            |write| matches!(write, Write::Put { table: Table::Meta, key, .. } if META_SNAPSHOTS.contains(key)),
        );
        let deletes = |write: &Write| matches!(write, Write::DeleteRange { table: Table::Record, .. });
        snapshot && writes.iter().any(deletes)
    })
}

/// A log may shrink by a snapshot, and by nothing less: not without one, nor by one that no quorum signed, that lacks
/// a piece, or that ends below the records.
#[test]
fn a_log_that_shrinks_without_the_snapshot_that_stands_for_it_is_refused() {
    fn without(writes: &mut Vec<Write>) {
        writes.retain(|write| !said(write));
    }
    fn unproven(writes: &mut [Write]) {
        change_said(writes, |value| {
            let manifest = u32::from_be_bytes(value[12..16].try_into().unwrap());
            value.slice(..16 + manifest as usize)
        });
    }
    fn in_pieces(writes: &mut Vec<Write>) {
        let piece = writes.iter().rposition(|w| matches!(w, Write::Put { table: Table::Snapshot, .. }));
        writes.remove(piece.unwrap());
    }
    fn too_low(writes: &mut [Write]) {
        change_said(writes, |value| {
            let mut low = BytesMut::from(&value[..]);
            low[..8].fill(0);
            low.freeze()
        });
    }
    fn said(write: &Write) -> bool {
        matches!(write, Write::Put { table: Table::Meta, key, .. } if META_SNAPSHOTS.contains(key))
    }
    fn change_said(writes: &mut [Write], change: impl Fn(&Bytes) -> Bytes) {
        for write in writes.iter_mut().filter(|write| said(write)) {
            if let Write::Put { value, .. } = write {
                *value = change(value);
            }
        }
    }
    let with_one = |seed| {
        let (clusters, run) = run(seed);
        snapshot_for_records(&run).map(|at| (clusters, run, at))
    };
    // The first seeds install none.
    let (clusters, mut run, at) = (4..=SEEDS).find_map(with_one).unwrap();
    run.truncate(at + 1);
    assert!(judge(&clusters, &run).is_ok());
    let changes: [fn(&mut Vec<Write>); 4] =
        [without, |writes| unproven(writes), in_pieces, |writes| too_low(writes)];
    for change in changes {
        let mut changed = run.clone();
        let Observation::Wrote { writes, .. } = &mut changed[at] else { panic!("a write") };
        change(writes);
        assert_eq!(judge(&clusters, &changed).unwrap_err().why, Refusal::Shrunk);
    }
}

fn holds(write: &Write, signature: &[u8; 64]) -> bool {
    matches!(write, Write::Put { table: Table::Record, value, .. }
        if value.windows(64).any(|part| part == signature))
}

/// The place of a word of a master late in the run, and of the last write of its record by another member before it.
fn word_and_last_write(clusters: &Clusters, run: &[Observation]) -> (usize, usize) {
    let words = run.iter().enumerate().rev().filter_map(|(at, step)| match step {
        Observation::Released { node, signature, .. } => Some((at, *node, *signature)),
        _ => None,
    });
    let mut found = words.filter_map(|(at, speaker, signature)| {
        let wrote = |step: &Observation| {
            matches!(step, Observation::Wrote { node, writes } if *node != speaker
                && clusters.get(node) == clusters.get(&speaker)
                && writes.iter().any(|write| holds(write, &signature)))
        };
        let last = run[..at].iter().rposition(wrote)?;
        // Said for the first time, and not again by a later master.
        let first = |step: &Observation| {
            matches!(step, Observation::Released { signature: other, .. } if *other == signature)
        };
        (run.iter().position(first) == Some(at)).then_some((at, last))
    });
    found.next().unwrap()
}

#[test]
fn a_word_before_the_last_acknowledgement_is_refused() {
    refused(
        |clusters, run| {
            let (word, write) = word_and_last_write(clusters, run);
            let word = run.remove(word);
            run.insert(write, word);
        },
        &[Refusal::Unacknowledged, Refusal::Unrecorded],
    );
}

#[test]
fn a_write_of_a_member_left_out_is_refused() {
    refused(
        |clusters, run| {
            let (_, write) = word_and_last_write(clusters, run);
            run.remove(write);
        },
        &[Refusal::Unacknowledged, Refusal::Store],
    );
}

#[test]
fn a_member_with_another_record_is_refused() {
    refused(
        |clusters, run| {
            let (_, write) = word_and_last_write(clusters, run);
            let Observation::Wrote { writes, .. } = &mut run[write] else { panic!("a write") };
            for write in writes {
                if let Write::Put { table: Table::Record, value, .. } = write {
                    let mut other = BytesMut::from(&value[..]);
                    *other.last_mut().unwrap() ^= 1;
                    *value = other.freeze();
                }
            }
        },
        &[Refusal::OtherRecord],
    );
}

#[test]
fn a_word_of_a_master_that_crashed_is_refused() {
    refused(
        |clusters, run| {
            let (word, _) = word_and_last_write(clusters, run);
            let Observation::Released { node, .. } = run[word] else { panic!("a word") };
            run.insert(word, Observation::Crashed { node });
        },
        &[Refusal::NotMaster],
    );
}

#[test]
fn a_promise_that_falls_is_refused() {
    refused(
        |_, run| {
            let promise = |step: &mut Observation| -> Option<usize> {
                let Observation::Wrote { writes, .. } = step else { return None };
                for write in writes {
                    if let Write::Put { table: Table::Meta, key: META_PROMISE, value } = write
                        && value[7] > 1
                    {
                        let mut lower = BytesMut::new();
                        lower.put_u64(0);
                        lower.put_u64(0);
                        *value = lower.freeze();
                        return Some(1);
                    }
                }
                None
            };
            assert!(run.iter_mut().rev().find_map(promise).is_some());
        },
        &[Refusal::Promise],
    );
}

#[test]
fn a_grant_to_a_node_outside_the_set_is_refused() {
    refused(
        |_, run| {
            let granted = run.iter_mut().find_map(|step| {
                let Observation::Wrote { node: NodeId::AUTHORITY, writes } = step else { return None };
                let write = writes.first_mut()?;
                let Write::Put { table: Table::Command, value, .. } = write else { return None };
                let Some(Command::Grant { cluster, at, .. }) = Command::decode(value) else { return None };
                let node = NodeId(4242);
                *value = Command::Grant { cluster, at, node, in_sync: vec![node] }.encode();
                Some(())
            });
            assert!(granted.is_some());
        },
        &[Refusal::Decision],
    );
}

/// B-FNC-3: only whose row says that it is forced closes its log.
#[test]
fn a_log_that_is_closed_by_one_who_was_not_forced_is_refused() {
    let close = |_: &Clusters, run: &mut Vec<Observation>| {
        let appended = |write: &Write| match write {
            Write::Put { table: Table::Record, key, value } => Some((*key, value.clone())),
            _ => None,
        };
        let found = run.iter().rev().find_map(|step| match step {
            Observation::Wrote { node, writes } => Some((*node, writes.iter().find_map(appended)?)),
            _ => None,
        });
        let (node, (last, record)) = found.unwrap();
        let put = |table, key, value| Write::Put { table, key, value };
        let closed = Bytes::from([&record[..16], &[0xFF]].concat());
        run.push(Observation::Wrote {
            node,
            writes: vec![
                Write::DeleteRange { table: Table::Record, from: 0, to: last + 1 },
                put(Table::Record, last + 1, closed),
                put(Table::Meta, META_LOG_END, Bytes::from((last + 2).to_be_bytes().to_vec())),
            ],
        });
    };
    refused(close, &[Refusal::Shrunk]);
}
