//! The note of an epoch that may be granted, and the promise for which it stands (spec/behaviour.md 6.1; decisions 43 and 48).

use super::Node;
use super::log::Log;
use crate::io::Write;
use duohuo_wire::ids::Epoch;

impl Node {
    /// B-NOTE-1: while the authority decides, the disk is told which epoch it may be.
    pub(super) fn note(&mut self, epoch: Epoch) {
        let writes = self.log.note(epoch);
        if !writes.is_empty() {
            self.write(writes);
        }
    }

    /// The master acts, and nothing was asked for: no epoch above `granted` is to come.
    pub(super) fn drop_note(&mut self, granted: Epoch) {
        let writes = self.log.drop_note(granted);
        if !writes.is_empty() {
            self.write(writes);
        }
    }

    /// What is promised from here on stands by its note: the promise itself has time (B-NOTE-5).
    pub(super) fn owe_promise(&mut self) {
        self.log.owe_promise();
        self.promise_at = Some(self.now + self.config.timers.dead_interval);
    }

    /// A promise that is owed goes to the disk now.
    pub(super) fn write_owed_promise(&mut self) {
        if self.log.owes_promise() {
            self.write(Vec::new());
        }
    }

    /// Queue a batch. A promise that is owed goes with it, whatever it is (B-NOTE-5).
    pub(super) fn write(&mut self, writes: Vec<Write>) -> u64 {
        // It stands before what it goes with, unless that is a promise itself.
        let promise = self.log.take_owed_promise().filter(|_| !writes.iter().any(Log::is_promise));
        let token = self.out.persist(promise.into_iter().chain(writes).collect());
        self.disk.asked(token, self.now);
        self.promise_at = None;
        token
    }
}
