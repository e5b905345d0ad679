//! The page: made here as a whole, no script; it renews itself. `maud` escapes all that comes from elsewhere.

use super::plot;
use crate::network::in_service;
use crate::status::{role_name, state};
use duohuo_driver::board::{Happened, Snapshot, Switch};
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::roster::{NodeEntry, Roster};
use duohuo_wire::statement::Row;
use duohuo_wire::status::StatusReport;
use duohuo_wire::takeover::Takeover;
use maud::{DOCTYPE, Markup, html};
use std::collections::BTreeSet;

pub(super) const STYLE: &str = include_str!("style.css");

/// Seconds of the plots.
const MINUTES: usize = 300;

pub(super) fn page(s: &Snapshot, fresh: bool) -> String {
    let r = &s.report;
    let name = name(s);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="2";
                meta name="viewport" content="width=device-width";
                title { (name) " - duohuo" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                (header(s, &name, fresh))
                main {
                    @if let Some(roster) = &s.roster {
                        section { h2 { "Rooms and clusters" } (map(s, roster)) (legend()) }
                    }
                    @if r.node != NodeId::AUTHORITY {
                        section { h2 { "Neighbours" } (neighbours(s)) }
                    }
                    section { h2 { "Recent switches" } (switches(s)) }
                    @if r.node != NodeId::AUTHORITY { (plots(s)) }
                    section { h2 { "Events" } (events(s)) }
                }
                footer {
                    "roster version " (s.roster_version) " · duohuo " (env!("CARGO_PKG_VERSION")) " · up "
                    (span(r.uptime_ms)) " · as of " (clock(s.at_unix_us)) " UTC · "
                    a href="/metrics" { "metrics" } " · " a href="/status" { "status" } " · " a href="/health" { "health" }
                }
            }
        }
    }
    .into_string()
}

fn name(s: &Snapshot) -> String {
    let r = &s.report;
    if r.node == NodeId::AUTHORITY {
        return "authority".into();
    }
    let known = s.roster.as_ref().and_then(|roster| roster.node(r.node));
    known.map_or_else(|| r.node.to_string(), |(c, n)| format!("{} of cluster {}", n.name, c.name))
}

fn header(s: &Snapshot, name: &str, fresh: bool) -> Markup {
    let r = &s.report;
    let is_authority = r.node == NodeId::AUTHORITY;
    html! {
        header {
            h1 { (name) }
            span class={ "badge " (role_class(r)) } { (role_name(r)) }
            @if !is_authority {
                span class="badge plain" { (state(r)) }
                span { "epoch " b { (r.epoch.0) } }
                span { "height " b { (r.height.0) } }
                span { "authority " b { @if r.authority_up { "reached" } @else { "not reached" } } }
            } @else {
                span { b { (r.rows.len()) } " clusters registered" }
            }
        }
        @if !fresh || s.at_unix_us == 0 {
            p class="alarm" { "The loop of this process does not turn: what stands below is old." }
        }
        @if r.halted {
            p class="alarm" { "HALTED: this node stopped signing and needs a person. Its log says why." }
        }
        @if r.barred.contains(&r.node) && !is_authority {
            p class="alarm" { "BARRED: a quorum contradicted a result of this node; it follows, and is not granted." }
        }
    }
}

fn role_class(r: &StatusReport) -> &'static str {
    match role_name(r) {
        "MASTER" => "master",
        "standby" => "standby",
        _ => "plain",
    }
}

/// One cell's node: class, sign, and words for those who do not see colours.
fn sign(
    s: &Snapshot,
    row: Option<&Row>,
    node: &NodeEntry,
    own: bool,
) -> (&'static str, &'static str, &'static str) {
    let heard = s.report.neighbours.iter().find(|n| n.node == node.id);
    let is_me = s.report.node == node.id;
    let Some(row) = row else { return ("unknown", "?", "not registered") };
    if row.barred.contains(&node.id) {
        return ("barred", "⊘", "barred");
    }
    // the authority hears masters, a node its own cluster
    if let Some(heard) = heard
        && !heard.alive
    {
        return ("dead", "×", "silent");
    }
    if row.master == node.id {
        return ("master", "●", "master");
    }
    if own && s.report.standby == node.id {
        return ("standby", "◐", "standby");
    }
    if !row.in_sync.contains(&node.id) {
        return ("behind", "·", if is_me { "catching up" } else { "not in sync" });
    }
    ("member", "○", "in sync")
}

fn map(s: &Snapshot, roster: &Roster) -> Markup {
    let clusters = in_service(roster);
    let rooms: BTreeSet<RoomId> = clusters.iter().flat_map(|c| &c.nodes).map(|n| n.room).collect();
    let row_of = |cluster: ClusterId| s.report.rows.iter().find(|r| r.cluster == cluster);
    html! {
        table class="map" {
            tr { th { "cluster" } th { "epoch" } @for room in &rooms { th { "room " (room.0) } } }
            @for cluster in &clusters {
                @let row = row_of(cluster.id);
                tr class=[(cluster.id == s.report.cluster).then_some("own")] {
                    th { (cluster.name) }
                    td { @match row { Some(row) => { (row.epoch.0) } None => { "-" } } }
                    @for room in &rooms {
                        td {
                            @for node in cluster.nodes.iter().filter(|n| n.room == *room) {
                                @let (class, sign, words) = sign(s, row, node, cluster.id == s.report.cluster);
                                span class={ "node " (class) } title={ (node.name) ": " (words) } { (sign) " " (node.name) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn legend() -> Markup {
    html! {
        p class="legend" {
            span class="node master" { "● master" } span class="node standby" { "◐ standby" } span class="node member" { "○ in sync" }
            span class="node behind" { "· not in sync" } span class="node dead" { "× silent" } span class="node barred" { "⊘ barred" }
        }
    }
}

fn neighbours(s: &Snapshot) -> Markup {
    let name = |id: NodeId| {
        s.roster.as_ref().and_then(|r| r.node(id)).map_or_else(|| id.to_string(), |(_, n)| n.name.clone())
    };
    html! {
        table {
            tr { th { "node" } th { "heard" } th { "role" } th { "priority" } th { "height" } th { "behind" } }
            @for n in &s.report.neighbours {
                tr class=[(!n.alive).then_some("gone")] {
                    td { (name(n.node)) }
                    td class="number" { @if n.age_us == u64::MAX { "never" } @else { (plot::milliseconds(n.age_us)) " ago" } }
                    td { @if n.alive { (format!("{:?}", n.role).to_lowercase()) } @else { "silent" } }
                    td class="number" { (n.priority) }
                    td class="number" { (n.height.0) }
                    td class="number" { (s.report.height.0.saturating_sub(n.height.0)) }
                }
            }
        }
    }
}

/// The phases of a switch: as the new master measured them by its own clock, or else as far as this process saw them.
fn parts(switch: &Switch) -> [(&'static str, u64); 5] {
    if let Some(measured) = &switch.measured {
        let Takeover { heard_us, suspected_us, claimed_us, ready_us, committed_us, .. } = measured.takeover;
        let ready = ready_us.unwrap_or(0);
        // before the grant: how long before it; what was not measured has no length
        let heard = heard_us.or(measured.outage_us.map(|outage| outage.saturating_sub(ready))).unwrap_or(0);
        let asked = claimed_us.unwrap_or(0).min(heard);
        let suspected = suspected_us.unwrap_or(asked).clamp(asked, heard.max(asked));
        return [
            ("silent", heard.saturating_sub(suspected)),
            ("detect", suspected.saturating_sub(asked)),
            ("grant", asked),
            ("fence", ready),
            ("commit", committed_us.map_or(0, |committed| committed.saturating_sub(ready))),
        ];
    }
    let between = |from: u64, to: u64| if from == 0 || to == 0 { 0 } else { to.saturating_sub(from) };
    let asked = if switch.claimed_us == 0 { switch.began_us } else { switch.claimed_us };
    [
        ("silent", 0),
        ("detect", between(switch.began_us, switch.claimed_us)),
        ("grant", between(asked, switch.granted_us)),
        ("fence", between(switch.granted_us, switch.spoke_us)),
        ("commit", between(switch.spoke_us, switch.committed_us)),
    ]
}

fn switches(s: &Snapshot) -> Markup {
    let whole = s.switches.iter().map(|w| parts(w).iter().map(|(_, us)| us).sum::<u64>()).max().unwrap_or(0);
    let node = |id: NodeId| {
        s.roster.as_ref().and_then(|r| r.node(id)).map_or_else(|| id.to_string(), |(_, n)| n.name.clone())
    };
    let cluster = |id: ClusterId| {
        s.roster.as_ref().and_then(|r| r.cluster(id)).map_or_else(|| id.to_string(), |c| c.name.clone())
    };
    html! {
        @if s.switches.is_empty() {
            p class="legend" { "none seen by this process since it started" }
        } @else {
            table {
                tr { th { "time (UTC)" } th { "cluster" } th { "epoch" } th { "master" } th { "phases" } th { "in all" } th { "nobody could speak" } }
                @for switch in s.switches.iter().rev() {
                    @let parts = parts(switch);
                    @let sum = parts.iter().map(|(_, us)| us).sum::<u64>();
                    tr {
                        td { (clock(switch.granted_us)) }
                        td { (cluster(switch.cluster)) }
                        td class="number" { (switch.epoch.0) }
                        td { (node(switch.to)) }
                        td { (plot::phases(&parts, whole)) }
                        td class="number" { @if sum == 0 { "-" } @else { (plot::milliseconds(sum)) } }
                        td class="number" {
                            @match switch.measured {
                                Some(measured) => { @match measured.outage_us { Some(us) => { (plot::milliseconds(us)) } None => { "-" } } }
                                None => { @if sum == 0 { "-" } @else { "seen from here" } }
                            }
                        }
                    }
                }
            }
            p class="legend" {
                span class="key silent" {} "last heard to suspected " span class="key detect" {} "to asked "
                span class="key grant" {} "to granted " span class="key fence" {} "to able to speak "
                span class="key commit" {} "to its first commit; measured by the new master, or seen from here"
            }
        }
    }
}

fn plots(s: &Snapshot) -> Markup {
    let commits: Vec<f64> = s.samples.iter().map(|x| f64::from(x.commits)).collect();
    let late: Vec<f64> = s.samples.iter().map(|x| plot::micros(x.late_us) / 1000.0).collect();
    html! {
        section class="plots" {
            div { h2 { "Blocks a second" } (plot::line(&commits, MINUTES, "a second")) }
            div { h2 { "Latest keepalive of each second" } (plot::line(&late, MINUTES, "ms late")) }
        }
    }
}

fn events(s: &Snapshot) -> Markup {
    let told = |happened: &Happened| {
        let text = format!("{:?}", happened.event);
        let fields = text.split_once(' ').map_or("", |(_, rest)| rest.trim_matches(['{', '}', ' ']));
        let node = |id: u32| s.roster.as_ref()?.node(NodeId(id)).map(|(_, n)| n.name.clone());
        let cluster = |id: u32| s.roster.as_ref()?.cluster(ClusterId(id)).map(|c| c.name.clone());
        let text = named(fields, "NodeId(", node);
        let text = named(&text, "ClusterId(", cluster);
        ["Epoch(", "Height("].iter().fold(text, |text, kind| named(&text, kind, |_| None))
    };
    html! {
        table class="events" {
            @for happened in s.events.iter().rev().take(20) {
                tr { td { (clock(happened.at_unix_us)) } td { (happened.event.name()) } td { (told(happened)) } }
            }
        }
    }
}

/// Numbers of this kind by their names, or bare.
fn named(text: &str, kind: &str, name: impl Fn(u32) -> Option<String>) -> String {
    let mut parts = text.split(kind);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(')').unwrap_or((part, ""));
        let name = number.parse().ok().and_then(&name);
        out.push_str(name.as_deref().unwrap_or(number));
        out.push_str(rest);
    }
    out
}

/// Time of day, UTC, with milliseconds.
fn clock(unix_us: u64) -> String {
    let ms = unix_us / 1000;
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// "3 d 04:05:06".
fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let days = seconds / 86_400;
    let rest = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if days == 0 { rest } else { format!("{days} d {rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_core::io::Measured;
    use duohuo_wire::ids::Epoch;

    #[test]
    fn names_from_elsewhere_are_escaped() {
        let entry = |id: u32| NodeEntry {
            id: NodeId(id),
            name: "<script>alert(1)</script>".into(),
            room: RoomId(1),
            priority: 1,
            address: ([127, 0, 0, 1], 1).into(),
            session_key: [0; 32],
            signing_key: [0; 32],
        };
        let roster = Roster {
            consortium: [0; 16],
            version: 1,
            authority: duohuo_wire::roster::Party {
                address: ([127, 0, 0, 1], 1).into(),
                session_key: [0; 32],
                signing_key: [0; 32],
            },
            clusters: vec![duohuo_wire::roster::ClusterEntry {
                id: ClusterId(1),
                name: "\"&".into(),
                group: ([239, 0, 0, 1], 1).into(),
                nodes: vec![entry(101), entry(102)],
            }],
            clients: vec![],
            signature: [0; 64],
        };
        let report = StatusReport { node: NodeId(101), cluster: ClusterId(1), ..Default::default() };
        let s = Snapshot { report, roster: Some(roster.into()), at_unix_us: 1, ..Default::default() };
        let text = page(&s, true);
        assert!(!text.contains("<script>"), "{text}");
        assert!(text.contains("&lt;script&gt;") && text.contains("&quot;&amp;"), "{text}");
        assert!(!text.contains("does not turn") && page(&s, false).contains("does not turn"));
    }

    #[test]
    fn a_measured_switch_is_shown_as_the_new_master_measured_it() {
        let takeover = Takeover {
            heard_us: Some(12_000),
            suspected_us: Some(5_000),
            claimed_us: Some(4_000),
            ready_us: Some(3_000),
            committed_us: Some(10_000),
            ..Default::default()
        };
        let measured = |takeover, outage_us| Measured {
            cluster: ClusterId(1),
            epoch: Epoch(2),
            to: NodeId(101),
            granted_us: 7,
            takeover,
            outage_us,
        };
        let switch =
            |measured| Switch { began_us: 1, claimed_us: 2, granted_us: 3, measured, ..Switch::default() };
        let spans = |switch: &Switch| parts(switch).map(|(_, us)| us);
        assert_eq!(
            spans(&switch(Some(measured(takeover, Some(15_000))))),
            [7_000, 1_000, 4_000, 3_000, 7_000]
        );
        // It did not hear the one before: what the authority measured is silence.
        let ready = Takeover { ready_us: Some(3_000), ..Default::default() };
        assert_eq!(spans(&switch(Some(measured(ready, Some(15_000))))), [12_000, 0, 0, 3_000, 0]);
        assert_eq!(spans(&switch(Some(measured(ready, None)))), [0, 0, 0, 3_000, 0]);
        assert_eq!(spans(&switch(None)), [0, 1, 1, 0, 0], "as seen from here");
        let s = Snapshot {
            switches: [switch(Some(measured(takeover, Some(15_000)))), switch(None)].into(),
            ..Default::default()
        };
        let text = switches(&s).into_string();
        assert!(text.contains("15.0 ms") && text.contains("seen from here"), "{text}");
    }

    #[test]
    fn numbers_are_told_by_their_names_where_there_are_any() {
        let name = |id| (id == 7).then(|| "a7".to_owned());
        assert_eq!(
            named("node: NodeId(7), other: NodeId(8), epoch: 3", "NodeId(", name),
            "node: a7, other: 8, epoch: 3"
        );
        assert_eq!(named("", "NodeId(", name), "");
    }

    #[test]
    fn times_are_told_as_people_read_them() {
        assert_eq!(clock(1_000 * (3_600_000 * 25 + 61_005)), "01:01:01.005");
        assert_eq!(span(90_061_000), "1 d 01:01:01");
        assert_eq!(span(5_999), "00:00:05");
    }
}
