//! What must hold in every state, and what must be possible from every state.

use crate::members::Members;
use crate::protocol::{Action, Protocol};
use crate::state::{Breach, Node, Record, Role, State};
use stateright::Property;

/// P1: no two values released for one slot.
pub const AGREEMENT: &str = "agreement";
/// P1: a slot that is released again is released in the same bytes.
pub const SAME_BYTES: &str = "same bytes";
/// P2: one node per epoch is granted it, and one leads it.
pub const ONE_MASTER: &str = "one master per epoch";
/// P2: (epoch, version) of the rows told only grows.
pub const ROWS_GROW: &str = "rows only grow";
/// R4: the master of the newest epoch holds every released record.
pub const MASTER_HOLDS: &str = "the master holds what was released";
/// Every member of the authority's set has every released record on its disk.
pub const MEMBERS_HOLD: &str = "the set holds what was released";
/// The authority's set lies within what the master waits for.
pub const SET_WAITED_FOR: &str = "the set is waited for";
/// A barred node is granted nothing.
pub const NO_BARRED_GRANT: &str = "no barred node is granted";
/// One lying cluster bars nobody.
pub const NO_SLANDER: &str = "one liar bars nobody";
/// P3: each unbarred member of the set can take over with the authority alone.
pub const TAKE_OVER: &str = "somebody can take over";
/// P4: the master can go on with the members alone.
pub const GO_ON: &str = "the master can go on";
/// Not vacuous: a master after the first releases a word of its own.
pub const SUCCESSOR_SPEAKS: &str = "a successor speaks";
/// Not vacuous: a node joins the set again.
pub const REJOINED: &str = "a node is added";
/// Not vacuous: a barred master is followed by another.
pub const BARRED_REPLACED: &str = "a barred master is replaced";

/// Not vacuous: a master that was forced says a word in that epoch.
pub const FORCED_SPEAKS: &str = "a forced master speaks";

/// Those that must hold in every state.
pub const ALWAYS: &[&str] = &[
    AGREEMENT,
    SAME_BYTES,
    ONE_MASTER,
    ROWS_GROW,
    MASTER_HOLDS,
    MEMBERS_HOLD,
    SET_WAITED_FOR,
    NO_BARRED_GRANT,
    NO_SLANDER,
    TAKE_OVER,
    GO_ON,
];

/// All properties of a model; the last ones only where its bounds let them come about.
#[must_use]
pub fn all(model: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(AGREEMENT, |_, s: &State| s.breach != Some(Breach::Value)),
        Property::always(SAME_BYTES, |_, s: &State| s.breach != Some(Breach::Bytes)),
        Property::always(ONE_MASTER, |_, s| one_master(s)),
        Property::always(ROWS_GROW, |_, s: &State| {
            s.rows.is_sorted_by(|a, b| (a.epoch, a.version) < (b.epoch, b.version))
                && s.rows.last() == Some(&s.authority.row())
        }),
        Property::always(MASTER_HOLDS, |_, s| master_holds(s)),
        Property::always(MEMBERS_HOLD, |_, s| members_hold(s)),
        Property::always(SET_WAITED_FOR, |_, s| set_waited_for(s)),
        Property::always(NO_BARRED_GRANT, |_, s| no_barred_grant(s)),
        Property::always(NO_SLANDER, |_, s: &State| s.authority.row().barred.minus(s.wrong).is_empty()),
        Property::always(TAKE_OVER, take_over),
        Property::always(GO_ON, go_on),
    ];
    if model.bounds.epochs > 1 {
        all.push(Property::sometimes(SUCCESSOR_SPEAKS, |_, s: &State| {
            let sent = s.outside.sent.iter().map(|(_, _, record)| record);
            s.released.iter().chain(sent).any(|record| record.epoch() > 1)
        }));
        if model.bounds.forces > 0 && model.bounds.changes > 0 {
            all.push(Property::sometimes(FORCED_SPEAKS, |_, s: &State| {
                let forced = |epoch| s.rows.iter().any(|row| row.unfenced && row.epoch == epoch);
                s.outside.sent.iter().any(|(_, _, record)| forced(record.epoch()))
            }));
        }
        if model.bounds.bars {
            all.push(Property::sometimes(BARRED_REPLACED, |_, s: &State| {
                let row = s.authority.row();
                !row.barred.is_empty() && !row.barred.has(row.master)
            }));
        }
    }
    if model.bounds.changes > 1 || (model.bounds.changes > 0 && model.bounds.epochs > 1) {
        all.push(Property::sometimes(REJOINED, |_, s: &State| {
            s.rows.windows(2).any(|pair| !pair[1].in_sync.minus(pair[0].in_sync).is_empty())
        }));
    }
    all
}

fn nodes(state: &State) -> impl Iterator<Item = (u8, &Node)> {
    (0..state.size).zip(&state.nodes)
}

/// What left the cluster. A force gives up by intent that anybody holds it: from then on only what is counted matters.
fn released(state: &State) -> impl Iterator<Item = (u8, Record)> {
    let sent = state.outside.sent.iter().map(|(slot, _, record)| (*slot, *record));
    let sent = sent.filter(|_| state.outside.forces == 0);
    (0..).zip(state.released.iter().copied()).filter(|(_, record)| *record != Record::NONE).chain(sent)
}

fn one_master(state: &State) -> bool {
    let granted = |epoch| state.rows.iter().filter(move |row| row.epoch == epoch).map(|row| row.master);
    let leading = |epoch| nodes(state).filter(move |(_, n)| n.role.is_some_and(|r| r.epoch == epoch));
    (1..=state.authority.row().epoch.max(state.rows.last().map_or(0, |row| row.epoch))).all(|epoch| {
        granted(epoch).all(|master| granted(epoch).next() == Some(master)) && leading(epoch).count() <= 1
    })
}

fn leader(state: &State) -> Option<(u8, &Node, Role)> {
    let epoch = state.authority.row().epoch;
    nodes(state).find_map(|(k, node)| Some((k, node, node.role.filter(|role| role.epoch == epoch)?)))
}

fn master_holds(state: &State) -> bool {
    leader(state)
        .is_none_or(|(_, node, _)| released(state).all(|(slot, record)| node.memory.log.at(slot) == record))
}

fn members_hold(state: &State) -> bool {
    state.authority.row().in_sync.iter().all(|member| {
        let log = &state.nodes[usize::from(member)].disk.log;
        released(state).all(|(slot, record)| log.at(slot) == record)
    })
}

fn set_waited_for(state: &State) -> bool {
    leader(state).is_none_or(|(k, _, role)| {
        state.authority.row().in_sync.minus(role.waiting.or(role.adding).with(k)).is_empty()
    })
}

fn no_barred_grant(state: &State) -> bool {
    let mut barred = Members::default();
    let mut epoch = 0;
    state.rows.iter().all(|row| {
        let granted = row.epoch > epoch;
        let fine = !(granted && barred.has(row.master));
        barred = barred.or(row.barred);
        epoch = row.epoch;
        fine
    })
}

/// With one epoch and one change more than are explored.
fn beyond(model: &Protocol) -> Protocol {
    let mut model = model.clone();
    model.bounds.epochs += 1;
    model.bounds.messages = usize::MAX;
    model
}

/// Every unbarred member of the set, left alone with the authority: is granted, adopts, signs and releases. If the set was forced,
/// the other clusters must answer before.
fn take_over(model: &Protocol, state: &State) -> bool {
    if state.breach.is_some() {
        return true;
    }
    let model = beyond(model);
    let row = state.authority.row();
    let heirs = row.in_sync.minus(row.barred);
    !heirs.is_empty()
        && heirs.iter().all(|node| {
            let alive = Members::one(node);
            let state = sure(&model, state.clone(), node);
            model
                .step(&state, Action::Claim { node, known: row, alive })
                .and_then(|granted| {
                    let row = granted.authority.row();
                    model.step(&granted, Action::Learn { node, row })
                })
                .map(|learnt| adopted(&model, learnt, node))
                .and_then(|adopted| fenced(&model, adopted, node))
                .is_some_and(|adopted| speaks(&model, adopted, node))
        })
}

/// What was promised is durable.
fn adopted(model: &Protocol, state: State, node: u8) -> State {
    model.step(&state, Action::Persist { node }).unwrap_or(state)
}

/// A master that owes a fence puts it up, the authority hears of it and says so.
fn fenced(model: &Protocol, state: State, node: u8) -> Option<State> {
    let role = state.nodes[usize::from(node)].role?;
    if !role.fencing {
        return Some(state);
    }
    let Role { epoch, version, .. } = role;
    let closed = model.step(&state, Action::Fence { node })?;
    let told = model.step(&closed, Action::Fenced { node, epoch, version })?;
    let row = told.authority.row();
    model.step(&told, Action::Learn { node, row })
}

/// The master of the newest epoch, with those it waits for and without the authority: signs and releases.
fn go_on(model: &Protocol, state: &State) -> bool {
    if state.breach.is_some() {
        return true;
    }
    // One that still owes a fence waits for the others and the authority; and who is in doubt asks the authority once.
    leader(state).is_none_or(|(node, _, role)| {
        let members = role.waiting.or(role.adding);
        let state =
            members.iter().fold(adopted(model, state.clone(), node), |state, k| sure(model, state, k));
        role.fencing || speaks(&beyond(model), state, node)
    })
}

/// Who is in doubt asks the authority.
fn sure(model: &Protocol, state: State, node: u8) -> State {
    model.step(&state, Action::Fresh { node }).unwrap_or(state)
}

/// A master signs if there is a slot left, everybody it waits for follows, and it releases all of its log.
fn speaks(model: &Protocol, state: State, node: u8) -> bool {
    let try_step = |state: State, action| model.step(&state, action).unwrap_or(state);
    let state = try_step(state, Action::Append { node, value: 0 });
    let mut state = try_step(state, Action::Persist { node });
    let Some(role) = state.nodes[usize::from(node)].role else { return false };
    let log = state.nodes[usize::from(node)].memory.log;
    for member in role.waiting.or(role.adding).iter() {
        state = try_step(state, Action::Follow { node: member, epoch: role.epoch, log });
    }
    for slot in 0..log.len() {
        state = try_step(state, Action::Release { node, slot });
    }
    let said = |slot: u8, record: Record| {
        let sent = state.outside.sent.binary_search(&(slot, role.epoch, record)).is_ok();
        record == Record::CLOSED || sent || state.released[usize::from(slot)] == record
    };
    let all = (0..log.len()).all(|slot| said(slot, log.at(slot)));
    all && state.breach.is_none()
}
