//! `duohuo switchover`, `failover`, `unbar`, `pause`, `resume`: an operator's orders, signed here and handed in to the
//! authority, which keeps who gave them and why.

use crate::access::{Access, AccessArgs, ask_status};
use crate::failure::{EXIT_HELP, Failure};
use crate::moment;
use crate::status::ask_all;
use clap::Args;
use duohuo_driver::client::{Client, ClientError};
use duohuo_driver::keys;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::order::{OrderKind, SignedOrder};
use duohuo_wire::packet::{Order, OrderAnswer, OrderOutcome, Packet};
use duohuo_wire::roster::ClusterEntry;
use duohuo_wire::sign::SigningKey;
use duohuo_wire::statement::Row;
use duohuo_wire::status::{Role, StatusReport};
use jiff::Timestamp;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ASK_INTERVAL: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// What every order needs.
#[derive(Args, Debug)]
struct Means {
    #[command(flatten)]
    access: AccessArgs,
    /// The operator's key file: only who has it may order
    #[arg(long, value_name = "FILE")]
    operator_key: PathBuf,
    /// Why; kept in the history for good, at most 255 bytes
    #[arg(long, value_name = "TEXT", value_parser = short_text)]
    why: String,
    /// Who orders it; kept in the history [default: $USER]
    #[arg(long, value_name = "NAME", value_parser = short_text)]
    who: Option<String>,
    /// Seconds to wait for the answer; the order is void after twice as long
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Hand a cluster over to another node without missing a commit
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct SwitchoverArgs {
    /// The cluster, by name or number
    cluster: String,
    /// Who takes over, by name or number [default: the next in order]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until then: 2026-11-27T02:00:00Z, or a span from now, as +15m; void if the master changes before
    #[arg(long, value_name = "TIME", value_parser = moment::parse, conflicts_with = "dry_run")]
    at: Option<Timestamp>,
    #[command(flatten)]
    means: Means,
}

/// Make a node master although the whole in-sync set of its cluster is lost; what only that set knew is lost with it
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct FailoverArgs {
    /// The cluster, by name or number
    cluster: String,
    /// Who takes over, by name or number
    #[arg(long, value_name = "NODE")]
    to: String,
    /// There is no safe way: that this is understood
    #[arg(long, required = true)]
    r#unsafe: bool,
    /// The cluster's name once more, for scripts; a person on a terminal is asked for it
    #[arg(long, value_name = "CLUSTER")]
    confirm: Option<String>,
    #[command(flatten)]
    means: Means,
}

/// Let a node lead again that was barred after a wrong result
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct UnbarArgs {
    /// The node, by name or number
    node: String,
    #[command(flatten)]
    means: Means,
}

/// Suspend automatic switches, of one cluster or of all; orders are still carried out
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct PauseArgs {
    /// The cluster, by name or number [default: all]
    cluster: Option<String>,
    /// Then wait until every node that answers has heard of it, and a master leads each of these clusters
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    means: Means,
}

/// End a pause: of the same cluster, or the one of all
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct ResumeArgs {
    /// The cluster, by name or number [default: all]
    cluster: Option<String>,
    /// Then wait until every node that answers has heard of it, and a master leads each of these clusters
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    means: Means,
}

fn short_text(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a text".into()),
        text if text.len() > 255 => Err("at most 255 bytes".into()),
        text => Ok(text.to_owned()),
    }
}

/// The files are read, the authority is connected.
struct Desk<'a> {
    means: &'a Means,
    access: Access,
    operator: SigningKey,
    client: Client,
    rows: Vec<Row>,
}

/// What is ordered, beside who, why and when.
struct What {
    kind: OrderKind,
    cluster: ClusterId,
    node: NodeId,
    epoch: Epoch,
}

fn timeout(means: &Means) -> Duration {
    Duration::from_secs(means.timeout)
}

fn no_answer(e: &ClientError) -> Failure {
    Failure::unreachable(format!("the authority did not answer: {e}"))
}

fn open(means: &Means) -> Result<Desk<'_>, Failure> {
    let access = Access::open(&means.access)?;
    let operator = SigningKey::from_bytes(&*keys::read_secret(&means.operator_key)?);
    let mut client = access.connect(&access.authority(), timeout(means)).map_err(|e| no_answer(&e))?;
    let rows = ask_status(&mut client, timeout(means)).map_err(|e| no_answer(&e))?.rows;
    Ok(Desk { means, access, operator, client, rows })
}

impl Desk<'_> {
    fn cluster(&self, text: &str) -> Result<&ClusterEntry, Failure> {
        let named = |c: &&ClusterEntry| c.name == text || text.parse() == Ok(c.id.0);
        let names =
            || self.access.roster.clusters.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        self.access.roster.clusters.iter().find(named).ok_or_else(|| {
            Failure::invalid(format!("the roster has no cluster {text:?}; it has {}", names()))
        })
    }

    fn node(&self, text: &str) -> Result<(ClusterId, NodeId), Failure> {
        let named = |name: &str, id: NodeId| name == text || text.parse() == Ok(id.0);
        self.access
            .roster
            .all_nodes()
            .find(|(_, n)| named(&n.name, n.id))
            .map(|(cluster, n)| (cluster.id, n.id))
            .ok_or_else(|| {
                Failure::invalid(format!("the roster has no node {text:?}; duohuo status lists them"))
            })
    }

    fn name(&self, id: NodeId) -> String {
        self.access.roster.node(id).map_or_else(|| id.0.to_string(), |(_, n)| n.name.clone())
    }

    fn row(&self, cluster: ClusterId) -> Result<&Row, Failure> {
        self.rows
            .iter()
            .find(|row| row.cluster == cluster)
            .ok_or_else(|| Failure::failed(format!("{cluster} has no master yet: start its nodes")))
    }

    fn order(&mut self, what: &What) -> Result<OrderAnswer, Failure> {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let who = self.means.who.clone().or_else(|| std::env::var("USER").ok().filter(|u| !u.is_empty()));
        let order = SignedOrder {
            consortium: self.access.roster.consortium,
            // Grows by itself, whoever orders, wherever.
            number: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
            kind: what.kind,
            cluster: what.cluster,
            node: what.node,
            epoch: what.epoch,
            expires: unix.as_secs() + 2 * self.means.timeout,
            who: who.unwrap_or_else(|| "unknown".into()),
            why: self.means.why.clone(),
            signature: [0; 64],
        };
        let order = order.sign(&self.operator);
        let packet = Packet::from(Order { request: 3, order, ..Default::default() });
        self.client.send(&packet).map_err(|e| no_answer(&e))?;
        let until = Instant::now() + timeout(self.means);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Some(Packet::OrderAnswer(answer)) = self.client.recv(left).map_err(|e| no_answer(&e))?
                && answer.request == 3
            {
                return match answer.outcome {
                    OrderOutcome::Done => Ok(answer),
                    outcome => Err(Failure::failed(format!("refused ({outcome:?}): {}", reason(outcome)))),
                };
            }
        }
        Err(Failure::unreachable(
            "the authority did not say what became of it: see duohuo history before you order again",
        ))
    }
}

/// What a refusal means, and what to do.
const fn reason(outcome: OrderOutcome) -> &'static str {
    match outcome {
        OrderOutcome::Done => "done",
        OrderOutcome::BadSignature => "the key is not this consortium's operator key; use operator.key",
        OrderOutcome::WrongConsortium => "the roster is another consortium's",
        OrderOutcome::Malformed => "who, why, the cluster or the node does not fit the order",
        OrderOutcome::Expired => "it came too late; compare the clocks of this machine and the authority's",
        OrderOutcome::Replayed => {
            "an order with this number or a higher one was carried out; compare the clocks of the operators' machines"
        }
        OrderOutcome::Unknown => {
            "the authority's roster has no such cluster or node; has it read the newest one?"
        }
        OrderOutcome::Starting => "the authority has just started; try again in a few seconds",
        OrderOutcome::Unregistered => "the cluster has no master yet; start its nodes",
        OrderOutcome::Stale => {
            "the cluster changed its master meanwhile; look at duohuo status, then decide anew"
        }
        OrderOutcome::NotInSync => {
            "the node is not in the in-sync set, it may lack what was said; wait until it has caught up"
        }
        OrderOutcome::Barred => "the node is barred after a wrong result; duohuo unbar clears it",
        OrderOutcome::NotBarred => "the node is not barred",
        OrderOutcome::IsMaster => "the node is master already",
        OrderOutcome::Unheard => "the node has no connection to the authority; is it running?",
        OrderOutcome::NobodyElse => "no other member of the in-sync set is there; duohuo status shows why",
        OrderOutcome::Busy => "an order for this cluster is being carried out; wait for it",
        OrderOutcome::Unchanged => "it is so already",
        OrderOutcome::InSync => "the node is in the in-sync set: nothing is lost, use duohuo switchover",
        OrderOutcome::SetAlive => {
            "a member of the in-sync set is there: nothing is lost; if it must not lead, stop it first"
        }
        OrderOutcome::TooManyForced => {
            "as many clusters as the chain can do without are being forced at this height; wait until they take part again"
        }
        OrderOutcome::Unfenced => {
            "the master was forced and its fence does not stand yet; the other clusters must answer it"
        }
    }
}

pub(crate) fn switchover(args: &SwitchoverArgs) -> Result<ExitCode, Failure> {
    let mut desk = open(&args.means)?;
    let (cluster, name) = desk.cluster(&args.cluster).map(|c| (c.id, c.name.clone()))?;
    let node = args.to.as_deref().map_or(Ok(NodeId(0)), |to| desk.node(to).map(|(_, id)| id))?;
    let row = desk.row(cluster)?;
    let (epoch, from) = (row.epoch, row.master);
    if args.dry_run {
        let may = |id: &NodeId| *id != row.master && row.in_sync.contains(id) && !row.barred.contains(id);
        let others: Vec<String> = row.in_sync.iter().filter(|id| may(id)).map(|id| desk.name(*id)).collect();
        println!(
            "{name}: master {} of epoch {}; could take over: {}",
            desk.name(from),
            epoch.0,
            others.join(", ")
        );
        let good = if node == NodeId(0) { !others.is_empty() } else { may(&node) };
        if !good {
            return Err(Failure::failed(
                "it would be refused: who takes over must be in sync, not barred, not master",
            ));
        }
        println!("nothing was done");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(at) = args.at {
        let to = if node == NodeId(0) { "the next in order".into() } else { desk.name(node) };
        eprintln!("duohuo: {name}: {} of epoch {} hands over to {to}", desk.name(from), epoch.0);
        moment::wait_until(at)?;
        // the session may be gone; the epoch stays the one that was looked at
        desk = open(&args.means)?;
    }
    let begun = Instant::now();
    let answer = desk.order(&What { kind: OrderKind::Switch, cluster, node, epoch })?;
    println!(
        "{name}: {} handed over, epoch {} (decision {}, {} ms)",
        desk.name(from),
        epoch.next().0,
        answer.table_version,
        begun.elapsed().as_millis()
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn failover(args: &FailoverArgs) -> Result<ExitCode, Failure> {
    let mut desk = open(&args.means)?;
    let (cluster, name) = desk.cluster(&args.cluster).map(|c| (c.id, c.name.clone()))?;
    let (_, node) = desk.node(&args.to)?;
    let row = desk.row(cluster)?;
    let (epoch, lost) = (row.epoch, row.in_sync.clone());
    let lost: Vec<String> = lost.iter().map(|id| desk.name(*id)).collect();
    eprintln!(
        "{name}: {} becomes master of epoch {} without what {} knew.\n\
         What may be lost: every vote and lock of {name} at the heights now open, and transfers that only {name} had taken.\n\
         It says nothing until the other clusters have promised to count nothing older, and then from two heights above theirs on.\n\
         Make sure first that {} are off or cut from the network for good.",
        desk.name(node),
        epoch.next().0,
        lost.join(", "),
        lost.join(", ")
    );
    confirm(&name, args.confirm.as_deref())?;
    let answer = desk.order(&What { kind: OrderKind::Force, cluster, node, epoch })?;
    println!(
        "{name}: {} is forced, epoch {} (decision {})",
        desk.name(node),
        epoch.next().0,
        answer.table_version
    );
    Ok(ExitCode::SUCCESS)
}

fn confirm(name: &str, given: Option<&str>) -> Result<(), Failure> {
    let typed = match given {
        Some(given) => given.to_owned(),
        None if std::io::stdin().is_terminal() => {
            eprint!("Type the cluster's name to go on: ");
            // A prompt that is not shown is no reason not to ask.
            let _ = std::io::stderr().flush();
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map_err(Failure::failed)?;
            line.trim().to_owned()
        }
        None => String::new(),
    };
    if typed == name {
        Ok(())
    } else {
        Err(Failure::failed(format!("not confirmed: nothing was done; a script says --confirm {name}")))
    }
}

pub(crate) fn unbar(args: &UnbarArgs) -> Result<ExitCode, Failure> {
    let mut desk = open(&args.means)?;
    let (cluster, node) = desk.node(&args.node)?;
    let answer = desk.order(&What { kind: OrderKind::Unbar, cluster, node, epoch: Epoch(0) })?;
    println!("{} may lead again (decision {})", desk.name(node), answer.table_version);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn pause(args: &PauseArgs) -> Result<ExitCode, Failure> {
    hold(OrderKind::Pause, args.cluster.as_deref(), args.wait, &args.means, "no automatic switches")
}

pub(crate) fn resume(args: &ResumeArgs) -> Result<ExitCode, Failure> {
    hold(OrderKind::Resume, args.cluster.as_deref(), args.wait, &args.means, "automatic switches again")
}

fn hold(
    kind: OrderKind,
    cluster: Option<&str>,
    wait: bool,
    means: &Means,
    done: &str,
) -> Result<ExitCode, Failure> {
    let mut desk = open(means)?;
    let (id, name) = match cluster {
        Some(text) => desk.cluster(text).map(|c| (c.id, c.name.clone()))?,
        None => (ClusterId(0), "all clusters".into()),
    };
    let answer = desk.order(&What { kind, cluster: id, node: NodeId(0), epoch: Epoch(0) })?;
    println!("{name}: {done} (decision {})", answer.table_version);
    if wait {
        settled(&mut desk, id)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An order of this kind counts at once: the authority refuses claims or no longer does. What is waited for is that it is
/// known everywhere, and that nothing of before is under way.
fn settled(desk: &mut Desk<'_>, cluster: ClusterId) -> Result<(), Failure> {
    let until = Instant::now() + timeout(desk.means);
    loop {
        let rows = ask_status(&mut desk.client, timeout(desk.means)).map_err(|e| no_answer(&e))?.rows;
        let answers = ask_all(&desk.access, ASK_TIMEOUT);
        let of = |id: NodeId| answers.iter().find(|(s, _)| s.id == id).and_then(|(_, a)| a.as_ref().ok());
        let mut missing = None;
        for row in rows.iter().filter(|row| cluster == ClusterId(0) || row.cluster == cluster) {
            let leads = |r: &StatusReport| r.role == Role::Master && r.epoch == row.epoch && !r.halted;
            let behind = answers
                .iter()
                .filter_map(|(_, a)| a.as_ref().ok())
                .find(|r| r.cluster == row.cluster && (r.epoch, r.version) < (row.epoch, row.version));
            if !of(row.master).is_some_and(leads) {
                missing = Some(format!("{} does not lead (yet, or any more)", desk.name(row.master)));
            } else if let Some(r) = behind {
                missing = Some(format!("{} has not heard of it", desk.name(r.node)));
            }
        }
        let Some(missing) = missing else { return Ok(()) };
        if Instant::now() >= until {
            return Err(Failure::failed(format!(
                "it is in force, but not settled within {} s: {missing}; duohuo status shows what there is",
                desk.means.timeout
            )));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        for outcome in OrderOutcome::ALL.iter().filter(|o| **o != OrderOutcome::Done) {
            assert!(reason(*outcome).len() > 15, "{outcome:?}");
        }
    }

    #[test]
    fn a_force_is_confirmed_by_the_clusters_name() {
        assert!(confirm("A", Some("A")).is_ok());
        assert!(confirm("A", Some("B")).is_err());
        assert!(confirm("A", Some("")).is_err());
    }
}
