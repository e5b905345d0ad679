//! Each rule is needed: without it a property breaks, within bounds in which the whole protocol keeps all of them.

use duohuo_model::bounds::Bounds;
use duohuo_model::explore::{explore, shortest};
use duohuo_model::mutant::Mutant;
use duohuo_model::properties::{AGREEMENT, ALWAYS, MEMBERS_HOLD, NO_BARRED_GRANT, NO_SLANDER, SAME_BYTES};
use duohuo_model::protocol::Protocol;

/// Two nodes, two epochs, one slot, two values; no changes, no bars.
const SMALL: Bounds = Bounds {
    nodes: 2,
    epochs: 2,
    changes: 0,
    slots: 1,
    values: 2,
    messages: usize::MAX,
    bars: false,
    forces: 0,
    notes: false,
};
const ONE_CHANGE: Bounds = Bounds { changes: 1, ..SMALL };
const TWO_CHANGES: Bounds = Bounds { changes: 2, ..SMALL };
/// Out, in, out; and in again by a request of long ago.
const LEAVE_AND_REJOIN: Bounds = Bounds { changes: 4, ..SMALL };
/// Out, a grant, in again, a grant.
const THREE_EPOCHS: Bounds = Bounds { epochs: 3, values: 1, ..ONE_CHANGE };
const THREE_NODES: Bounds = Bounds { nodes: 3, ..SMALL };
const BARS: Bounds = Bounds { bars: true, ..THREE_NODES };
/// Out, and forced.
const FORCED: Bounds = Bounds { forces: 1, ..ONE_CHANGE };
/// Out, forced, and a grant to whoever was forced.
const FORCED_AND_GRANTED: Bounds = Bounds { epochs: 3, values: 1, ..FORCED };
/// The forced master goes on where its fence ends.
const FORCED_WITH_ROOM: Bounds = Bounds { slots: 2, values: 1, ..FORCED };
/// Notes of epochs, by anybody at any moment.
const NOTES: Bounds = Bounds { notes: true, ..SMALL };
/// A note after a note.
const TWO_NOTES: Bounds = Bounds { epochs: 3, values: 1, ..NOTES };

/// Without the rule: the shortest trace to any broken property, and to `property`.
fn dies(mutant: Mutant, bounds: Bounds, property: &'static str) {
    let model = Protocol { bounds, mutant: Some(mutant) };
    let first =
        shortest(&model, ALWAYS).unwrap_or_else(|| panic!("{mutant:?} breaks nothing within {bounds:?}"));
    // No shorter way leads to any break; so none to this one, where it is this one.
    let found = if first.property == property { Some(first.clone()) } else { shortest(&model, &[property]) }
        .unwrap_or_else(|| panic!("{mutant:?} does not break {property:?}"));
    println!(
        "| {mutant:?} | {} | {} | {property} | {} | {} |",
        first.property,
        first.steps.len(),
        found.steps.len(),
        found.distinct
    );
    for step in found.steps {
        println!("    {step:?}");
    }
}

#[test]
fn the_whole_protocol_keeps_every_property_in_the_bounds_that_kill_the_mutants() {
    for bounds in [SMALL, ONE_CHANGE, TWO_CHANGES, LEAVE_AND_REJOIN, THREE_EPOCHS, THREE_NODES, BARS]
        .into_iter()
        .chain([FORCED, FORCED_AND_GRANTED, FORCED_WITH_ROOM, NOTES, TWO_NOTES])
    {
        let summary = explore(&Protocol { bounds, mutant: None }, 2);
        println!("{bounds:?}: {} distinct states, depth {}", summary.distinct, summary.depth);
        assert_eq!(summary.broken, [""; 0], "{bounds:?}");
        assert_eq!(summary.never, [""; 0], "{bounds:?}: the model must be able to do this");
    }
}

#[test]
fn release_after_the_own_write_alone() {
    dies(Mutant::ReleaseAlone, SMALL, AGREEMENT);
}

#[test]
fn release_after_a_majority() {
    dies(Mutant::ReleaseAfterMajority, THREE_NODES, AGREEMENT);
}

#[test]
fn release_before_the_own_disk() {
    dies(Mutant::ReleaseBeforeOwnDisk, SMALL, AGREEMENT);
}

#[test]
fn acknowledge_before_durable() {
    dies(Mutant::AcknowledgeBeforeDurable, SMALL, AGREEMENT);
}

#[test]
fn acknowledge_an_old_epoch() {
    dies(Mutant::AcknowledgeOldEpoch, SMALL, AGREEMENT);
}

#[test]
fn a_late_resync_overwrites_a_newer_log() {
    dies(Mutant::LateResyncOverwrites, SMALL, AGREEMENT);
}

#[test]
fn a_part_of_a_log_is_taken_for_all_of_it() {
    dies(Mutant::LogPartByPart, SMALL, MEMBERS_HOLD);
}

#[test]
fn shrink_before_the_authority_confirmed() {
    dies(Mutant::ShrinkBeforeConfirmed, ONE_CHANGE, AGREEMENT);
}

#[test]
fn grow_before_the_log_was_acknowledged() {
    dies(Mutant::GrowBeforeCaughtUp, TWO_CHANGES, AGREEMENT);
}

#[test]
fn grow_without_waiting_for_the_new_one() {
    dies(Mutant::GrowWithoutWaiting, TWO_CHANGES, AGREEMENT);
}

#[test]
fn what_was_inherited_does_not_count_as_exposed() {
    dies(Mutant::InheritedNotExposed, THREE_EPOCHS, SAME_BYTES);
}

#[test]
fn a_restarted_master_takes_its_role_up_again() {
    dies(Mutant::RestartKeepsRole, TWO_CHANGES, AGREEMENT);
}

#[test]
fn a_granted_node_acts_before_its_promise_is_durable() {
    dies(Mutant::ActBeforePromise, SMALL, MEMBERS_HOLD);
}

#[test]
fn a_granted_node_gives_its_log_before_its_promise_is_durable() {
    dies(Mutant::GiveLogBeforePromise, SMALL, MEMBERS_HOLD);
}

#[test]
fn no_versions_leave_and_rejoin_in_one_epoch() {
    dies(Mutant::NoVersions, LEAVE_AND_REJOIN, AGREEMENT);
}

#[test]
fn grant_outside_the_set() {
    dies(Mutant::GrantOutside, ONE_CHANGE, AGREEMENT);
}

#[test]
fn the_authority_forgets_a_grant() {
    dies(Mutant::AuthorityForgets, SMALL, AGREEMENT);
}

#[test]
fn a_barred_node_is_granted() {
    dies(Mutant::BarredGranted, BARS, NO_BARRED_GRANT);
}

#[test]
fn reports_are_counted_by_packet() {
    dies(Mutant::ReportsPerPacket, BARS, NO_SLANDER);
}

#[test]
fn a_forced_master_puts_up_no_fence() {
    dies(Mutant::NoFence, FORCED, AGREEMENT);
}

#[test]
fn the_others_answer_a_forced_master_and_promise_nothing() {
    dies(Mutant::FenceWithoutPromise, FORCED, AGREEMENT);
}

#[test]
fn the_duty_to_fence_ends_with_the_next_grant() {
    dies(Mutant::DutyNotInherited, FORCED_AND_GRANTED, SAME_BYTES);
}

#[test]
fn a_fence_that_is_in_no_log() {
    dies(Mutant::FenceNotInLog, FORCED_AND_GRANTED, SAME_BYTES);
}

#[test]
fn a_restarted_node_forgets_its_note() {
    dies(Mutant::NoteForgotten, NOTES, MEMBERS_HOLD);
}

#[test]
fn an_old_row_ends_a_doubt() {
    dies(Mutant::DoubtEndsByAnyRow, NOTES, MEMBERS_HOLD);
}

#[test]
fn a_note_takes_the_place_of_one_that_stands_for_a_promise() {
    dies(Mutant::NoteReplacesPromise, TWO_NOTES, MEMBERS_HOLD);
}

#[test]
fn a_node_acts_by_the_note_of_another_epoch() {
    dies(Mutant::ActByAnotherNote, TWO_NOTES, SAME_BYTES);
}

#[test]
fn a_note_stands_for_a_log_that_is_not_on_the_disk() {
    dies(Mutant::NoteForAnotherLog, NOTES, MEMBERS_HOLD);
}
