//! `duohuo layout`: what a layout survives, room by room and cut by cut, before anything is installed; and better ones.

use crate::failure::{FAILED, Failure};
use crate::layout::Placed;
use clap::{Args, Subcommand, ValueEnum};
use duohuo_core::placement::{Fate, Fault, Placement, Verdict, Why, judge, plan, subsets};
use duohuo_wire::ids::RoomId;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_HELP: &str = "Exit status: 0 the layout survives what it must; 1 it does not, the lines say what stops it; 2 wrong usage; 4 the file is invalid";

/// Judge where nodes stand: which rooms may be lost and which links cut, who may then act, and why
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct LayoutArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Go through every set of lost rooms, every two-way cut and every cut link; refuse what stops at one lost room
    #[command(after_help = EXIT_HELP)]
    Check {
        /// A layout (see keygen network --help) or a roster
        file: PathBuf,
        /// How many rooms with nodes may be lost while the authority stands; one room, the authority's too, always may
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=11))]
        survive: u8,
        /// Where the authority stands, in place of what the file says [default: in a room of its own]
        #[arg(long, value_name = "ROOM")]
        authority_room: Option<u16>,
        /// Every case; without it, of more than 40 cases only those in which the chain stops
        #[arg(long)]
        all: bool,
        /// How to print
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Print a layout whose clusters all go on, whichever so many of its rooms are lost; for keygen network --layout
    #[command(after_help = EXIT_HELP)]
    Plan {
        /// Rooms with nodes; the authority has one of its own besides
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(2..=12))]
        rooms: u8,
        /// How many of them may be lost
        #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=11))]
        survive: u8,
        /// Members of the chain
        #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=26))]
        clusters: u8,
    },
}

/// How a command prints what it found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

pub(crate) fn run(args: &LayoutArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Check { file, survive, authority_room, all, output } => {
            let placed = Placed::read(file)?;
            let apart = placed.placement.free_room();
            let said = authority_room.or(placed.authority_room).map(RoomId);
            let placement = placed.placement.with_authority(said.unwrap_or(apart));
            placement.validate().map_err(|e| Failure::invalid(format!("{}: {e}", file.display())))?;
            let check = Check { authority_said: said.is_some(), survive: usize::from(*survive), placement };
            match output {
                Format::Table => print!("{}", check.as_text(*all)),
                Format::Json => println!("{}", check.as_json()),
            }
            Ok(if check.refusals().is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
        What::Plan { rooms, survive, clusters } => {
            let placement = plan((*rooms).into(), (*survive).into(), (*clusters).into())
                .map_err(|e| Failure::failed(format!("layout plan: {e}; lower --survive, or add rooms")))?;
            print!("{}", layout_text(&placement, usize::from(*survive)));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Of a layout that a network is made from: one line, whether any one room may be lost.
pub(crate) fn judged(file: &std::path::Path) -> Result<String, Failure> {
    let placed = Placed::read(file)?;
    let room = placed.authority_room.map_or_else(|| placed.placement.free_room(), RoomId);
    let placement = placed.placement.with_authority(room);
    placement.validate().map_err(|e| Failure::invalid(format!("{}: {e}", file.display())))?;
    let check = Check { authority_said: placed.authority_room.is_some(), survive: 1, placement };
    let refused: Vec<String> = check.refusals().iter().flatten().map(|room| room.0.to_string()).collect();
    Ok(if refused.is_empty() {
        format!(
            "layout: any one room may be lost (duohuo layout check {} says who acts then)",
            file.display()
        )
    } else {
        format!(
            "WARNING: layout: the chain stops when room {} is lost; duohuo layout check {} says why, duohuo layout plan makes one that goes on",
            refused.join(" or "),
            file.display()
        )
    })
}

/// One layout, and what is asked of it.
struct Check {
    placement: Placement,
    authority_said: bool,
    survive: usize,
}

impl Check {
    fn rooms(&self) -> Vec<RoomId> {
        self.placement.rooms().into_iter().collect()
    }

    fn node_rooms(&self) -> Vec<RoomId> {
        self.placement.node_rooms().into_iter().collect()
    }

    /// Sets of rooms that may be lost, and stop the chain.
    fn refusals(&self) -> Vec<BTreeSet<RoomId>> {
        let single = self.rooms().into_iter().map(|r| BTreeSet::from([r]));
        let rooms = self.node_rooms();
        let asked = subsets(&rooms).filter(|s| s.len() > 1 && s.len() <= self.survive);
        single.chain(asked).filter(|s| !judge(&self.placement, &Fault::Lost(s.clone())).goes_on()).collect()
    }

    /// Every fault that is gone through.
    fn faults(&self) -> Vec<Fault> {
        let rooms = self.rooms();
        let mut lost: Vec<_> = subsets(&rooms).filter(|s| !s.is_empty() && s.len() < rooms.len()).collect();
        lost.sort_by_key(|s| (s.len(), s.clone()));
        let mut away: Vec<_> =
            subsets(&rooms).filter(|s| !s.is_empty() && !s.contains(&self.placement.authority)).collect();
        away.sort_by_key(|s| (s.len(), s.clone()));
        let pairs = rooms.iter().flat_map(|a| rooms.iter().filter(move |b| a < *b).map(move |b| (*a, *b)));
        lost.into_iter()
            .map(Fault::Lost)
            .chain(away.into_iter().map(Fault::Cut))
            .chain(pairs.map(|(a, b)| Fault::Link(a, b)))
            .collect()
    }

    fn as_text(&self, all: bool) -> String {
        let mut out = String::new();
        // writing to a string cannot fail
        let _ = self.write(&mut out, all);
        out
    }

    fn write(&self, out: &mut String, all: bool) -> std::fmt::Result {
        let p = &self.placement;
        let nodes: usize = p.clusters.iter().map(|c| c.nodes.len()).sum();
        let where_ = match (self.authority_said, p.node_rooms().contains(&p.authority)) {
            (true, true) => format!("in room {}, with nodes", p.authority.0),
            (true, false) => format!("in room {}, by itself", p.authority.0),
            (false, _) => format!("not said where; judged as by itself, in room {}", p.authority.0),
        };
        writeln!(
            out,
            "{} clusters, {nodes} nodes, rooms {}; authority {where_}; {} of {} masters decide",
            p.clusters.len(),
            list(&p.node_rooms()),
            p.quorum(),
            p.clusters.len()
        )?;
        let faults = self.faults();
        let all = all || faults.len() <= 40;
        for (title, of) in [
            ("rooms lost", 0),
            ("cut off from the rest, with power (the authority is with the rest)", 1),
            ("one link cut, everything else hears both ends", 2),
        ] {
            writeln!(out, "\n{title}:")?;
            let mut shown = 0;
            for fault in faults.iter().filter(|f| kind(f) == of) {
                let verdict = judge(p, fault);
                if all || !verdict.goes_on() {
                    shown += 1;
                    writeln!(out, "  {:<12} {}", rooms_of(fault), self.told(&verdict))?;
                }
            }
            let total = faults.iter().filter(|f| kind(f) == of).count();
            if shown < total {
                writeln!(
                    out,
                    "  {} more, in all of which the chain goes on (--all shows them)",
                    total - shown
                )?;
            }
        }
        self.write_sum(out)
    }

    fn write_sum(&self, out: &mut String) -> std::fmt::Result {
        let p = &self.placement;
        writeln!(out)?;
        for (k, least) in (1..).zip(p.survives()) {
            writeln!(
                out,
                "any {k} of rooms {} may be lost: the chain goes on with at least {least} of {} clusters",
                list(&p.node_rooms()),
                p.clusters.len()
            )?;
        }
        if !p.node_rooms().contains(&p.authority) && judge(p, &Fault::Lost([p.authority].into())).goes_on() {
            writeln!(
                out,
                "the authority's room may be lost: the chain goes on, and nobody takes over from anybody until it is back"
            )?;
        }
        for link in self.faults().iter().filter(|f| matches!(f, Fault::Link(..))) {
            if !judge(p, link).goes_on() {
                writeln!(
                    out,
                    "warning: one cut link, {}, stops the chain while the authority hears both ends: it moves no master that it hears (R6); \
                     spread the masters over more rooms, or give that link a second path",
                    rooms_of(link)
                )?;
            }
        }
        if !self.authority_said {
            self.write_open(out)?;
        }
        let refusals = self.refusals();
        if refusals.is_empty() {
            return writeln!(out, "accepted");
        }
        for lost in &refusals {
            let verdict = judge(p, &Fault::Lost(lost.clone()));
            writeln!(out, "REFUSED: room {} lost: {}", list(lost), self.told(&verdict))?;
        }
        self.write_better(out)
    }

    /// What the file leaves open: where the authority stands.
    fn write_open(&self, out: &mut String) -> std::fmt::Result {
        for room in self.node_rooms() {
            let there = self.placement.with_authority(room);
            let verdict = judge(&there, &Fault::Lost([room].into()));
            let ends = if verdict.goes_on() { "goes on" } else { "STOPS" };
            writeln!(
                out,
                "open: were the authority in room {}, the loss of that room: the chain {ends}, {} of {} clusters act",
                room.0,
                acting(&verdict),
                there.clusters.len()
            )?;
        }
        writeln!(
            out,
            "open: say where it stands (authority_room = N in the layout, or --authority-room N); give it a room without nodes"
        )
    }

    fn write_better(&self, out: &mut String) -> std::fmt::Result {
        let p = &self.placement;
        let apart =
            Self { placement: p.with_authority(p.free_room()), authority_said: true, survive: self.survive };
        if apart.refusals().is_empty() {
            return writeln!(
                out,
                "better: the same nodes, and the authority in a room without nodes (authority_room = {})",
                apart.placement.authority.0
            );
        }
        match plan(p.node_rooms().len(), self.survive, p.clusters.len()) {
            Ok(better) => {
                writeln!(
                    out,
                    "better: rooms of the nodes, first master first; authority in room {}",
                    better.authority.0
                )?;
                for (c, named) in better.clusters.iter().zip(&p.clusters) {
                    let rooms: Vec<_> = c.nodes.iter().map(|n| n.room.0.to_string()).collect();
                    writeln!(out, "  {:<10} {}", named.name, rooms.join(" "))?;
                }
                writeln!(
                    out,
                    "  as a file: duohuo layout plan --rooms {} --survive {} --clusters {}",
                    p.node_rooms().len(),
                    self.survive,
                    p.clusters.len()
                )
            }
            Err(why) => writeln!(out, "better: {why}"),
        }
    }

    /// One line about one case.
    fn told(&self, verdict: &Verdict) -> String {
        let p = &self.placement;
        let sides: Vec<_> = verdict.sides.iter().filter(|s| s.goes_on).collect();
        let mut line = match sides.first() {
            Some(side) => {
                // the sides of one cut link overlap: there is no other side
                let whole = match verdict.sides.as_slice() {
                    [one, other] => !one.rooms.is_disjoint(&other.rooms),
                    _ => true,
                };
                let place = match (whole, side.authority) {
                    (true, _) => "",
                    (false, true) => " on the authority's side",
                    (false, false) => " without the authority",
                };
                format!("goes on{place} with {} of {}", side.acting, p.clusters.len())
            }
            None => format!("STOPS: {} of {} act, {} decide", acting(verdict), p.clusters.len(), p.quorum()),
        };
        for (cluster, fate) in p.clusters.iter().zip(&verdict.fates) {
            let name = |i: &usize| {
                cluster.nodes.get(*i).map_or(String::new(), |n| format!("{} in room {}", n.name, n.room.0))
            };
            match fate {
                Fate::Stays { .. } => {}
                Fate::Moves { to } => {
                    let _ = write!(line, "; {} -> {}", cluster.name, name(to));
                }
                Fate::Waits(why) => {
                    let _ = write!(line, "; {} waits: {}", cluster.name, why_text(*why));
                }
            }
        }
        line
    }

    fn as_json(&self) -> serde_json::Value {
        let p = &self.placement;
        let ids = |rooms: &BTreeSet<RoomId>| rooms.iter().map(|r| r.0).collect::<Vec<_>>();
        let cases: Vec<_> = self.faults().iter().map(|fault| {
            let verdict = judge(p, fault);
            let (name, rooms) = match fault {
                Fault::Lost(rooms) => ("lost", ids(rooms)),
                Fault::Cut(rooms) => ("cut", ids(rooms)),
                Fault::Link(a, b) => ("link", vec![a.0, b.0]),
            };
            let clusters: Vec<_> = p.clusters.iter().zip(&verdict.fates).map(|(c, fate)| {
                let acts = fate.acting().and_then(|i| c.nodes.get(i));
                serde_json::json!({
                    "cluster": c.name,
                    "fate": match fate { Fate::Stays { .. } => "stays", Fate::Moves { .. } => "moves", Fate::Waits(_) => "waits" },
                    "acts": acts.map(|n| n.name.clone()), "room": acts.map(|n| n.room.0),
                    "why": if let Fate::Waits(why) = fate { Some(why_text(*why)) } else { None },
                })
            }).collect();
            serde_json::json!({
                "fault": name, "rooms": rooms, "goes_on": verdict.goes_on(), "acting": acting(&verdict), "clusters": clusters,
            })
        }).collect();
        serde_json::json!({
            "schema": 1, "clusters": p.clusters.len(), "quorum": p.quorum(), "authority_room": p.authority.0,
            "authority_said": self.authority_said, "survives": p.survives().len(),
            "refused": self.refusals().iter().map(ids).collect::<Vec<_>>(), "cases": cases,
        })
    }
}

fn kind(fault: &Fault) -> u8 {
    match fault {
        Fault::Lost(_) => 0,
        Fault::Cut(_) => 1,
        Fault::Link(..) => 2,
    }
}

/// Clusters that act where most of them do.
fn acting(verdict: &Verdict) -> usize {
    verdict.sides.iter().map(|s| s.acting).max().unwrap_or(0)
}

fn rooms_of(fault: &Fault) -> String {
    match fault {
        Fault::Lost(rooms) | Fault::Cut(rooms) => list(rooms),
        Fault::Link(a, b) => format!("{} - {}", a.0, b.0),
    }
}

fn list(rooms: &BTreeSet<RoomId>) -> String {
    rooms.iter().map(|r| r.0.to_string()).collect::<Vec<_>>().join(" ")
}

const fn why_text(why: Why) -> &'static str {
    match why {
        Why::NobodyLeft => "all its nodes are lost",
        Why::CannotShrink => "its master misses a member, which only the authority can take out of the set",
        Why::CannotClaim => "its master is gone, and only the authority can grant another",
        Why::NobodyElectable => "only nodes of priority 0 are left",
    }
}

/// A layout's file, as `keygen network` reads it. The addresses are examples.
fn layout_text(placement: &Placement, survive: usize) -> String {
    let mut out = format!(
        "# Any {survive} of rooms {} may be lost: all {} clusters go on, {} nodes each. The authority has a room of its own.\n\
         # The addresses are examples; then: duohuo keygen network --dir DIRECTORY --layout THIS_FILE --pack pack\n\
         authority = \"10.0.{}.1:4750\"\nauthority_room = {}\n",
        list(&placement.node_rooms()),
        placement.clusters.len(),
        survive + 1,
        placement.authority.0,
        placement.authority.0
    );
    for (c, cluster) in (1..).zip(&placement.clusters) {
        let _ = write!(out, "\n[[cluster]]\nname = \"{}\"\ngroup = \"239.77.0.{c}:4750\"\n", cluster.name);
        for (n, node) in (1..).zip(&cluster.nodes) {
            let _ = write!(
                out,
                "[[cluster.node]]\nname = \"{}\"\nroom = {}\npriority = {}\naddress = \"10.0.{}.{}:4750\"\n",
                node.name.to_lowercase(),
                node.room.0,
                node.priority,
                node.room.0,
                c * 10 + n
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn checked(placement: Placement, authority_said: bool) -> Check {
        Check { placement, authority_said, survive: 1 }
    }

    fn figure(layout: &Layout) -> Placement {
        Placed::from(layout).placement
    }

    #[test]
    fn what_is_planned_is_a_layout_that_keygen_reads_and_check_accepts() {
        for (rooms, survive) in [(2, 1), (4, 2), (4, 3)] {
            let text = layout_text(&plan(rooms, survive, 4).expect("it exists"), survive);
            let layout: Layout = toml::from_str(&text).expect("a layout");
            let placed = Placed::from(&layout);
            let check = Check {
                placement: placed.placement.with_authority(RoomId(placed.authority_room.expect("said"))),
                authority_said: true,
                survive,
            };
            assert_eq!(check.refusals(), [], "{text}");
            let addresses: BTreeSet<_> = layout.addresses().collect();
            assert_eq!(addresses.len(), 1 + 4 * (survive + 1), "each address once");
        }
    }

    #[test]
    fn the_figures_are_accepted_and_what_they_leave_open_is_said() {
        let text = checked(figure(&Layout::four_companies(1)).with_authority(RoomId(9)), false).as_text(true);
        assert!(
            text.contains(
                "any 2 of rooms 1 2 3 4 may be lost: the chain goes on with at least 4 of 4 clusters"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "any 3 of rooms 1 2 3 4 may be lost: the chain goes on with at least 3 of 4 clusters"
            ),
            "{text}"
        );
        assert!(text.contains("open: were the authority in room 1, the loss of that room: the chain STOPS, 1 of 4 clusters act"), "{text}");
        assert!(text.contains("  1 - 3        goes on with 3 of 4\n"), "{text}");
        assert!(text.contains("  3 4          goes on on the authority's side with 4 of 4; C -> "), "{text}");
        assert!(text.contains("  1 2 3 4      goes on without the authority with 4 of 4\n"), "{text}");
        assert!(text.ends_with("accepted\n"), "{text}");
    }

    #[test]
    fn two_rooms_and_the_authority_in_one_of_them_are_refused_with_a_better_place() {
        let text = checked(figure(&Layout::two_companies(1)).with_authority(RoomId(1)), true).as_text(false);
        let refused = "REFUSED: room 1 lost: STOPS: 0 of 4 act, 3 decide; A waits: its master is gone, and only the authority can grant another";
        assert!(text.contains(refused), "{text}");
        assert!(
            text.contains(
                "better: the same nodes, and the authority in a room without nodes (authority_room = 3)"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_cluster_in_one_room_is_refused_with_a_better_placement() {
        let mut layout = Layout::two_companies(1);
        for cluster in layout.cluster.iter_mut().take(2) {
            cluster.node.iter_mut().for_each(|n| n.room = 1);
        }
        let text = checked(figure(&layout).with_authority(RoomId(9)), true).as_text(false);
        assert!(
            text.contains(
                "REFUSED: room 1 lost: STOPS: 2 of 4 act, 3 decide; A waits: all its nodes are lost"
            ),
            "{text}"
        );
        assert!(
            text.contains("  as a file: duohuo layout plan --rooms 2 --survive 1 --clusters 4"),
            "{text}"
        );
    }
}
