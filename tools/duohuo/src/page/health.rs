//! The answers for load balancers and supervisors: 200 or 503, and a word why.
//!
//! `/master` tells what was so a moment ago, on one machine's word. It may route readers; it is no fence.

use crate::status::{role_name, state};
use duohuo_driver::board::Snapshot;
use duohuo_wire::ids::NodeId;
use duohuo_wire::status::{Role, StatusReport};
use std::time::Duration;

/// A loop that did not turn for so long answers for nothing.
pub(super) const FRESH: Duration = Duration::from_secs(2);

pub(super) fn answer(path: &str, snapshot: &Snapshot, fresh: bool) -> (bool, String) {
    let r = &snapshot.report;
    if !fresh || snapshot.at_unix_us == 0 {
        return (false, "the loop does not turn\n".into());
    }
    let is_authority = r.node == NodeId::AUTHORITY;
    let good = match path {
        "/master" => !is_authority && r.role == Role::Master && !r.halted,
        "/standby" => !is_authority && r.role == Role::Standby && !r.halted,
        "/readiness" => is_authority || is_ready(r),
        "/health" => !r.halted,
        // it answers, and its loop turns
        _ => true,
    };
    (good, format!("{} {}\n", role_name(r), state(r)))
}

/// It may be granted at any moment, or leads.
fn is_ready(r: &StatusReport) -> bool {
    !r.halted && r.in_sync.contains(&r.node) && !r.barred.contains(&r.node)
}

pub(super) fn as_json(snapshot: &Snapshot, fresh: bool) -> String {
    let mut value = crate::status::report_json(&snapshot.report);
    if let Some(map) = value.as_object_mut() {
        map.insert("schema".into(), 1.into());
        map.insert("node".into(), snapshot.report.node.0.into());
        map.insert("cluster".into(), snapshot.report.cluster.0.into());
        map.insert("at_unix_us".into(), snapshot.at_unix_us.into());
        map.insert("loop_turns".into(), fresh.into());
        map.insert("roster_version".into(), snapshot.roster_version.into());
    }
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, report: StatusReport, fresh: bool) -> (bool, String) {
        answer(path, &Snapshot { report, at_unix_us: 1, ..Default::default() }, fresh)
    }

    fn node(role: Role, in_sync: &[u32]) -> StatusReport {
        let in_sync = in_sync.iter().map(|n| NodeId(*n)).collect();
        StatusReport { node: NodeId(101), role, in_sync, ..Default::default() }
    }

    #[test]
    fn each_role_has_its_answer() {
        for (path, report, good) in [
            ("/master", node(Role::Master, &[101]), true),
            ("/master", node(Role::Standby, &[101]), false),
            ("/master", StatusReport::default(), false),
            ("/standby", node(Role::Standby, &[101]), true),
            ("/standby", node(Role::Master, &[101]), false),
            ("/readiness", node(Role::Ordinary, &[101]), true),
            ("/readiness", node(Role::Ordinary, &[102]), false),
            ("/readiness", StatusReport::default(), true),
            ("/health", node(Role::Ordinary, &[]), true),
            ("/liveness", node(Role::Ordinary, &[]), true),
        ] {
            assert_eq!(told(path, report.clone(), true).0, good, "{path} {report:?}");
            assert_eq!(told(path, report.clone(), false), (false, "the loop does not turn\n".into()));
        }
        let halted = StatusReport { halted: true, ..node(Role::Master, &[101]) };
        for (path, good) in
            [("/master", false), ("/readiness", false), ("/health", false), ("/liveness", true)]
        {
            assert_eq!(told(path, halted.clone(), true), (good, "MASTER HALTED\n".into()), "{path}");
        }
        let barred = StatusReport { barred: vec![NodeId(101)], ..node(Role::Ordinary, &[101]) };
        assert_eq!(told("/readiness", barred, true), (false, "ordinary barred\n".into()));
    }
}
