//! Explorations, and the shortest trace to what they find.

use crate::protocol::{Action, Protocol};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;

/// A state in which a property fails (or, for one that must be possible, holds), and the way there.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The property.
    pub property: &'static str,
    /// No shorter way leads to such a state.
    pub steps: Vec<Action>,
    /// Distinct states seen until it was found.
    pub distinct: usize,
}

/// Search breadth-first for one of these properties. `None`: not within the model's bounds, all of which was seen.
///
/// The checker keeps the last finding of a block of states, so the search is repeated below its depth until there is
/// none.
#[must_use]
pub fn shortest(model: &Protocol, properties: &[&'static str]) -> Option<Finding> {
    let mut best: Option<Finding> = None;
    loop {
        let wanted: BTreeSet<&'static str> = properties.iter().copied().collect();
        let mut builder = model.clone().checker().finish_when(HasDiscoveries::AnyOf(wanted));
        if let Some(found) = &best {
            // The start has depth 1, and states at the limit are not looked at.
            builder = builder.target_max_depth(found.steps.len() + 1);
        }
        let checker = builder.spawn_bfs().join();
        let found = properties
            .iter()
            .filter_map(|property| Some((*property, checker.discovery(property)?.into_actions())))
            .min_by_key(|(_, steps)| steps.len());
        let Some((property, steps)) = found else { return best };
        let distinct = best.map_or(usize::MAX, |b| b.distinct).min(checker.unique_state_count());
        best = Some(Finding { property, steps, distinct });
    }
}

/// What a complete exploration came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Distinct states, up to the nodes' names.
    pub distinct: usize,
    /// Depth.
    pub depth: usize,
    /// Properties that fail somewhere.
    pub broken: Vec<&'static str>,
    /// What must be possible and is not.
    pub never: Vec<&'static str>,
}

/// See every state within the bounds.
#[must_use]
pub fn explore(model: &Protocol, threads: usize) -> Summary {
    let checker =
        model.clone().checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let names = |failure: bool| {
        let of_kind =
            model.properties().into_iter().filter(move |p| p.expectation.discovery_is_failure() == failure);
        of_kind.map(|p| p.name).filter(|name| checker.discovery(name).is_some() == failure).collect()
    };
    Summary {
        distinct: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: names(true),
        never: names(false),
    }
}
