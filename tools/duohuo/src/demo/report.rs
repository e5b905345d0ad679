//! What a run came to: the times of each step.

use super::picture::milliseconds;
use duohuo_wire::ids::ClusterId;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A crash of a master must cost no more than this to the first commit, in the median (10 ms keepalives, idle machine).
pub(crate) const CRASH_BOUND_MS: f64 = 50.0;

/// Times of one cluster's switch, in microseconds of Unix time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) detected: Option<u64>,
    pub(crate) granted: Option<u64>,
    pub(crate) voted: Option<u64>,
    pub(crate) committed: Option<u64>,
}

impl Marks {
    pub(crate) fn complete(&self) -> bool {
        self.detected.is_some() && self.granted.is_some() && self.voted.is_some() && self.committed.is_some()
    }
}

/// One step of a run.
#[derive(Clone, Debug)]
pub(crate) struct StepReport {
    pub(crate) name: &'static str,
    pub(crate) requirement: &'static str,
    /// Why it failed.
    pub(crate) failure: Option<String>,
    /// When the fault was made; `None`: a step without a fault.
    pub(crate) fault_us: Option<u64>,
    pub(crate) switches: BTreeMap<ClusterId, Marks>,
    pub(crate) gap_ms: f64,
    /// In words.
    pub(crate) what: String,
}

impl StepReport {
    pub(crate) fn ok(&self) -> bool {
        self.failure.is_none()
    }

    /// Milliseconds from the fault to a mark, in the slowest cluster.
    fn slowest(&self, mark: impl Fn(&Marks) -> Option<u64>) -> Option<f64> {
        let fault = self.fault_us?;
        let times: Option<Vec<u64>> = self.switches.values().map(&mark).collect();
        times?.into_iter().max().map(|at| milliseconds(at.saturating_sub(fault)))
    }

    pub(crate) fn commit_ms(&self) -> Option<f64> {
        self.slowest(|m| m.committed)
    }

    /// As in the summary.
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name, "requirement": self.requirement, "ok": self.ok(),
            "detect_ms": self.slowest(|m| m.detected), "grant_ms": self.slowest(|m| m.granted),
            "vote_ms": self.slowest(|m| m.voted), "commit_ms": self.commit_ms(), "gap_ms": self.gap_ms,
        })
    }

    /// With the clusters one by one.
    pub(crate) fn detailed_json(&self) -> Value {
        let mut value = self.json();
        let since = |at: Option<u64>| Some(milliseconds(at?.saturating_sub(self.fault_us?)));
        let clusters: serde_json::Map<_, _> = self
            .switches
            .iter()
            .map(|(cluster, m)| {
                let marks = json!({
                    "detect_ms": since(m.detected), "grant_ms": since(m.granted),
                    "vote_ms": since(m.voted), "commit_ms": since(m.committed),
                });
                (cluster.0.to_string(), marks)
            })
            .collect();
        if let Some(object) = value.as_object_mut() {
            object.insert("what".into(), self.what.clone().into());
            object.insert("failure".into(), json!(self.failure));
            object.insert("clusters".into(), clusters.into());
        }
        value
    }

    /// One line of the table.
    pub(crate) fn line(&self) -> String {
        let time = |t: Option<f64>| t.map_or_else(|| "-".into(), |t| format!("{t:.1}"));
        format!(
            "{:<4} {:<23} {:<6} {:>8} {:>7} {:>7} {:>7} {:>7}{}",
            if self.ok() { "ok" } else { "FAIL" },
            self.name,
            self.requirement,
            time(self.slowest(|m| m.detected)),
            time(self.slowest(|m| m.granted)),
            time(self.slowest(|m| m.voted)),
            time(self.commit_ms()),
            format!("{:.1}", self.gap_ms),
            self.failure.as_ref().map(|why| format!("   {why}")).unwrap_or_default()
        )
    }
}

/// The head of the table of [`StepReport::line`].
pub(crate) fn head() -> String {
    format!(
        "{:<4} {:<23} {:<6} {:>8} {:>7} {:>7} {:>7} {:>7}",
        "", "step (ms from the fault)", "", "detected", "granted", "vote", "commit", "gap"
    )
}

/// The middle value; of an even number the higher one of the two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_cluster_counts_and_a_missing_mark_is_null() {
        let marks = |c| Marks {
            detected: Some(1_002_000),
            granted: Some(1_003_000),
            voted: Some(1_004_000),
            committed: c,
        };
        let mut step = StepReport {
            name: "x",
            requirement: "REC-1",
            failure: None,
            fault_us: Some(1_000_000),
            switches: BTreeMap::from([
                (ClusterId(1), marks(Some(1_005_500))),
                (ClusterId(2), marks(Some(1_009_000))),
            ]),
            gap_ms: 1.0,
            what: String::new(),
        };
        assert_eq!(step.commit_ms(), Some(9.0));
        step.switches.insert(ClusterId(3), marks(None));
        assert_eq!(step.commit_ms(), None);
        assert_eq!(step.json().get("commit_ms"), Some(&Value::Null));
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(vec![]), None);
    }
}
