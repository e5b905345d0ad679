//! What of the hooks is shown to those who look.

use duohuo_core::Instant;
use duohuo_core::event::Event;
use std::collections::BTreeMap;

/// Since the start, and now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shown {
    /// Until when this node acts; `None`: it does not.
    pub until: Option<Instant>,
    /// What is left of that, in microseconds, when it was shown.
    pub left_us: u64,
    /// What its health takes off its priority.
    pub cut: u8,
    /// Whether its copy is in step, and how far it is.
    pub copy: (bool, u64),
    /// How often each program ended how.
    pub runs: BTreeMap<(&'static str, &'static str), u64>,
    /// How often each answer was given at the socket.
    pub answers: BTreeMap<&'static str, u64>,
}

impl Shown {
    /// The machine told something.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::ProgramEnded { program, ending } => {
                *self.runs.entry((program.name(), ending.name())).or_default() += 1;
            }
            Event::HealthChanged { cut } => self.cut = *cut,
            Event::CopyChanged { in_step, position } => self.copy = (*in_step, *position),
            _ => {}
        }
    }

    /// An answer was given.
    pub(crate) fn answered(&mut self, answer: &'static str) {
        *self.answers.entry(answer).or_default() += 1;
    }

    /// It is put up now.
    pub(crate) fn at(&mut self, now: Instant) {
        let left = self.until.map_or(core::time::Duration::ZERO, |until| until.saturating_since(now));
        self.left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
    }
}
