//! Metrics, encoded by `prometheus-client` from one snapshot each time they are asked for. Names and labels: tools/prometheus/README.md.

use crate::status::role_name;
use duohuo_driver::board::{BUCKETS_US, Histogram, Snapshot};
use duohuo_driver::hooks::shown::Shown;
use duohuo_wire::ids::NodeId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt::Write as _;
use std::sync::Arc;

const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics as OpenMetrics or in the older text form, and their content type.
pub(super) fn text(snapshot: &Arc<Snapshot>, open: bool) -> (&'static str, String) {
    let mut registry = Registry::with_prefix("duohuo");
    registry.register_collector(Box::new(Page(Arc::clone(snapshot))));
    let mut text = String::new();
    // writing to a string cannot fail
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    if open { (OPEN, text) } else { (PLAIN, as_plain(&text)) }
}

/// In the older form a counter's family has the name of its samples, and there is no end mark.
fn as_plain(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let counters: Vec<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    for line in open.lines().filter(|line| !line.starts_with("# EOF") && !line.starts_with("# UNIT ")) {
        let renamed = ["# TYPE ", "# HELP "].into_iter().find_map(|mark| {
            let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
            counters.contains(&name).then(|| format!("{mark}{name}_total {rest}"))
        });
        let _ = writeln!(out, "{}", renamed.as_deref().unwrap_or(line));
    }
    out
}

#[derive(Debug)]
struct Page(Arc<Snapshot>);

/// A label and its value.
type Labels<'a> = Vec<(&'a str, String)>;

/// Writes one family after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauges(&mut self, name: &str, help: &str, values: &[(Labels<'_>, f64)]) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_gauge(value)?;
            } else {
                family.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> std::fmt::Result {
        self.gauges(name, help, &[(Vec::new(), value)])
    }

    fn counters(&mut self, name: &str, help: &str, values: &[(Labels<'_>, u64)]) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, u64, u64>(value, None)?;
            } else {
                family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(value, None)?;
            }
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> std::fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let bounds = BUCKETS_US.iter().map(|us| seconds(*us)).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts).collect();
        let count = histogram.counts.iter().sum();
        family.encode_histogram::<NoLabelSet>(seconds(histogram.sum_us), count, &buckets, None)
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let s = &self.0;
        let mut families = Families(encoder);
        process(&mut families, s)?;
        if s.report.node == NodeId::AUTHORITY { authority(&mut families, s) } else { node(&mut families, s) }
    }
}

fn label(name: &str, value: impl ToString) -> (&str, String) {
    (name, value.to_string())
}

fn process(f: &mut Families<'_>, s: &Snapshot) -> std::fmt::Result {
    let r = &s.report;
    let build =
        vec![label("version", env!("CARGO_PKG_VERSION")), label("wire", duohuo_wire::versions::NEWEST)];
    f.gauges("build_info", "Always 1", &[(build, 1.0)])?;
    let place = s.roster.as_ref().and_then(|roster| roster.node(r.node));
    let info = match place {
        Some((c, n)) => vec![label("node", &n.name), label("cluster", &c.name), label("room", n.room.0)],
        None => vec![label("node", "authority"), label("cluster", ""), label("room", "")],
    };
    f.gauges("node_info", "Always 1: who this process is", &[(info, 1.0)])?;
    f.gauge(
        "start_time_seconds",
        "When the process started, Unix time",
        seconds(s.at_unix_us) - seconds(r.uptime_ms.saturating_mul(1000)),
    )?;
    f.gauge("roster_version", "Of the roster in force", number(s.roster_version))?;
    let events: Vec<_> = s.event_counts.iter().map(|(name, n)| (vec![label("event", name)], *n)).collect();
    f.counters("events", "What happened, by the names of the specification", &events)?;
    let discards: Vec<_> = r.discards.iter().map(|(reason, n)| (vec![label("reason", reason)], *n)).collect();
    f.counters("packets_discarded", "Packets that had no effect, by reason", &discards)?;
    let net = [
        ("unsent", s.net.datagrams_unsent),
        ("handshakes_dropped", s.net.initiations_over),
        ("accept_refused", s.net.accepts_refused),
        ("queue_full", s.net.queues_over),
    ];
    let net = net.map(|(what, n)| (vec![label("what", what)], n));
    f.counters("network_trouble", "What the network or the kernel did to us", &net)?;
    f.histogram("loop_lag_seconds", "How late the loop came to what was due", &s.loop_lag)?;
    let (at, taken) = s.reloaded;
    f.gauge(
        "config_last_reload_timestamp_seconds",
        "When the configuration was last read again; 0: never",
        seconds(at),
    )?;
    f.gauge(
        "config_last_reload_successful",
        "Whether that was taken; 1 if there was none",
        flag(at == 0 || taken),
    )
}

fn node(f: &mut Families<'_>, s: &Snapshot) -> std::fmt::Result {
    let r = &s.report;
    let role = role_name(r).to_lowercase();
    let roles = ["master", "standby", "ordinary"].map(|x| (vec![label("role", x)], flag(x == role)));
    f.gauges("node_role", "1 for the role it plays", &roles)?;
    f.gauge(
        "node_in_sync",
        "1 if it is in the in-sync set of its cluster",
        flag(r.in_sync.contains(&r.node)),
    )?;
    f.gauge("node_barred", "1 if it is barred after a wrong result", flag(r.barred.contains(&r.node)))?;
    f.gauge("node_halted", "1 if it stopped signing and needs a person", flag(r.halted))?;
    f.gauge("authority_up", "1 while the session with the authority stands", flag(r.authority_up))?;
    f.gauge("cluster_epoch", "Epoch of the newest row of its cluster", number(r.epoch.0))?;
    f.gauge("cluster_in_sync_members", "Members of the in-sync set", count(r.in_sync.len()))?;
    f.gauge(
        "cluster_nodes_alive",
        "Nodes of the cluster that it hears, itself included",
        count(1 + r.neighbours.iter().filter(|n| n.alive).count()),
    )?;
    f.gauge("cluster_nodes", "Nodes of the cluster in the roster", count(1 + r.neighbours.len()))?;
    let name = |id: NodeId| {
        s.roster.as_ref().and_then(|x| x.node(id)).map_or_else(|| id.to_string(), |(_, n)| n.name.clone())
    };
    let heard: Vec<_> = r
        .neighbours
        .iter()
        .filter(|n| n.age_us != u64::MAX)
        .map(|n| (vec![label("neighbour", name(n.node))], seconds(n.age_us)))
        .collect();
    f.gauges("neighbour_last_heard_seconds", "Age of the last keepalive", &heard)?;
    let alive: Vec<_> =
        r.neighbours.iter().map(|n| (vec![label("neighbour", name(n.node))], flag(n.alive))).collect();
    f.gauges("neighbour_alive", "1 if it is heard or answers probes", &alive)?;
    f.histogram(
        "keepalive_lateness_seconds",
        "How much later than the interval neighbours' keepalives came",
        &s.keepalive_lateness,
    )?;
    f.gauge("chain_height", "Of the last block committed here", number(r.height.0))?;
    let master = r.neighbours.iter().find(|n| n.node == r.master).map_or(r.height.0, |n| n.height.0);
    f.gauge("chain_lag_blocks", "Blocks behind its master", number(master.saturating_sub(r.height.0)))?;
    f.gauge("chain_pool_transactions", "Transactions that wait", f64::from(r.pool))?;
    f.counters(
        "conflicts",
        "Grants or statements that contradicted each other",
        &[(Vec::new(), r.conflicts)],
    )?;
    s.hooks.as_ref().map_or(Ok(()), |hooks| self::hooks(f, hooks))
}

fn hooks(f: &mut Families<'_>, shown: &Shown) -> std::fmt::Result {
    f.gauge("hooks_acting", "1 while this node holds the lease to act", flag(shown.left_us > 0))?;
    f.gauge(
        "hooks_lease_remaining_seconds",
        "Until what acts has ended, unless renewed",
        seconds(shown.left_us),
    )?;
    f.gauge(
        "hooks_health_cut",
        "What the service's health takes off the priority; 255: unfit",
        f64::from(shown.cut),
    )?;
    let (in_step, position) = shown.copy;
    f.gauge("hooks_copy_in_step", "1 if the copy of a node that follows is in step", flag(in_step))?;
    f.gauge(
        "hooks_copy_position",
        "How far it was when that changed, as the program counts",
        number(position),
    )?;
    let run = |((program, ending), n): (&(&str, &str), &u64)| {
        (vec![label("program", program), label("ending", ending)], *n)
    };
    let runs: Vec<_> = shown.runs.iter().map(run).collect();
    f.counters("hooks_runs", "Programs that ended, of health and sync the changes", &runs)?;
    let answers: Vec<_> =
        shown.answers.iter().map(|(answer, n)| (vec![label("answer", answer)], *n)).collect();
    f.counters("hooks_answers", "What the socket's questions were answered", &answers)
}

fn authority(f: &mut Families<'_>, s: &Snapshot) -> std::fmt::Result {
    let r = &s.report;
    let name = |row: &duohuo_wire::statement::Row| {
        s.roster
            .as_ref()
            .and_then(|x| x.cluster(row.cluster))
            .map_or_else(|| row.cluster.to_string(), |c| c.name.clone())
    };
    let each = |value: &dyn Fn(&duohuo_wire::statement::Row) -> f64| -> Vec<_> {
        r.rows.iter().map(|row| (vec![label("cluster", name(row))], value(row))).collect()
    };
    let heard = |id: NodeId| r.neighbours.iter().find(|n| n.node == id);
    f.gauge("authority_clusters", "Clusters that are registered", count(r.rows.len()))?;
    f.gauges("authority_cluster_epoch", "Epoch of its row", &each(&|row| number(row.epoch.0)))?;
    f.gauges(
        "authority_cluster_in_sync_members",
        "Members of its in-sync set",
        &each(&|row| count(row.in_sync.len())),
    )?;
    f.gauges(
        "authority_cluster_barred_members",
        "Barred nodes, which an operator must look at",
        &each(&|row| count(row.barred.len())),
    )?;
    f.gauges(
        "authority_master_present",
        "1 while its master's keepalives come",
        &each(&|row| flag(heard(row.master).is_some_and(|n| n.alive))),
    )?;
    let ages: Vec<_> = r
        .rows
        .iter()
        .filter_map(|row| {
            let age = heard(row.master).filter(|n| n.age_us != u64::MAX)?;
            Some((vec![label("cluster", name(row))], seconds(age.age_us)))
        })
        .collect();
    f.gauges("authority_master_age_seconds", "Age of its master's last keepalive", &ages)
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

/// Beyond 2^53 a float is no longer exact; nothing that is shown gets there.
#[allow(clippy::cast_precision_loss, reason = "for plots and alerts")]
fn number(n: u64) -> f64 {
    n as f64
}

fn count(n: usize) -> f64 {
    number(u64::try_from(n).unwrap_or(u64::MAX))
}

fn seconds(us: u64) -> f64 {
    number(us) / 1e6
}
