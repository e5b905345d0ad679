//! What people and programs see while the demo runs: a live picture on a terminal, plain lines elsewhere, or JSON.

use super::load::LoadState;
use super::picture::{self, Picture, kind};
use crate::network::places;
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::packet::Event as EventPacket;
use duohuo_wire::roster::Roster;
use duohuo_wire::status::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// A picture that is redrawn.
    Live,
    /// Lines.
    Plain,
    /// One JSON object a line.
    Json,
}

const FRAME_INTERVAL: Duration = Duration::from_millis(150);
/// Lines told before that stay on the live screen.
const LINES_KEPT: usize = 24;

#[derive(Debug)]
struct Told {
    roster: Option<Roster>,
    /// Processes that run, as the steps know.
    live: BTreeSet<NodeId>,
    authority_live: bool,
    lines: Vec<String>,
    doing: String,
}

/// Where the demo is told. Shared by all its threads.
#[derive(Debug)]
pub(crate) struct Screen {
    mode: Mode,
    begun: Instant,
    told: Mutex<Told>,
    stop: AtomicBool,
}

impl Screen {
    pub(crate) fn new(mode: Mode) -> Self {
        let told = Told {
            roster: None,
            live: BTreeSet::new(),
            authority_live: false,
            lines: Vec::new(),
            doing: String::new(),
        };
        Self { mode, begun: Instant::now(), told: Mutex::new(told), stop: AtomicBool::new(false) }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        match self.mode {
            Mode::Live => {
                let mut told = self.told();
                told.lines.extend(text.lines().map(str::to_owned));
                let excess = told.lines.len().saturating_sub(LINES_KEPT);
                told.lines.drain(..excess);
            }
            Mode::Plain => println!("{:7.3} s  {text}", self.begun.elapsed().as_secs_f64()),
            Mode::Json => self.json("note", json!({ "text": text })),
        }
    }

    /// What is being done now.
    pub(crate) fn doing(&self, text: &str) {
        match self.mode {
            Mode::Live => text.clone_into(&mut self.told().doing),
            Mode::Plain => println!("{:7.3} s  {text} ...", self.begun.elapsed().as_secs_f64()),
            Mode::Json => self.json("doing", json!({ "text": text })),
        }
    }

    /// An event for programs; nothing in the other modes.
    pub(crate) fn json(&self, event: &str, fields: Value) {
        if self.mode != Mode::Json {
            return;
        }
        let mut object = serde_json::Map::new();
        object.insert("event".into(), event.into());
        object.insert("at_ms".into(), json!(self.begun.elapsed().as_millis()));
        if let Value::Object(fields) = fields {
            object.extend(fields);
        }
        println!("{}", Value::Object(object));
    }

    /// What a node or the authority said of itself, unless it says such things with every message.
    pub(crate) fn protocol_event(&self, from: NodeId, event: &EventPacket) {
        if matches!(event.kind, kind::RELEASED | kind::RECEIVED | kind::COMMITTED) {
            return;
        }
        self.json(
            "protocol",
            json!({
                "kind": picture::name(event.kind), "from": from.0, "at_unix_us": event.at_unix_us, "cluster": event.cluster.0,
                "node": event.node.0, "epoch": event.epoch.0, "height": event.height.0, "detail": event.detail,
            }),
        );
    }

    pub(crate) fn set_roster(&self, roster: &Roster) {
        self.told().roster = Some(roster.clone());
    }

    pub(crate) fn set_live(&self, live: BTreeSet<NodeId>, authority: bool) {
        let mut told = self.told();
        told.live = live;
        told.authority_live = authority;
    }

    /// Draw until [`Screen::stop`]; `None` unless the mode is live.
    pub(crate) fn start(
        self: &Arc<Self>,
        picture: Arc<Picture>,
        load: Arc<LoadState>,
    ) -> Option<JoinHandle<()>> {
        if self.mode != Mode::Live {
            return None;
        }
        let screen = Arc::clone(self);
        Some(std::thread::spawn(move || {
            while !screen.stop.load(Ordering::Relaxed) {
                screen.draw(&picture, &load);
                std::thread::sleep(FRAME_INTERVAL);
            }
            screen.draw(&picture, &load);
        }))
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn draw(&self, picture: &Picture, load: &LoadState) {
        let text = {
            let told = self.told();
            let Some(roster) = &told.roster else { return };
            frame(&told, roster, picture, load, self.begun.elapsed())
        };
        // home, the lines each cleared to their end, then everything below
        let text = text.replace('\n', "\x1b[K\r\n");
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\x1b[H{text}\x1b[J");
        let _ = out.flush();
    }
}

fn frame(told: &Told, roster: &Roster, picture: &Picture, load: &LoadState, since: Duration) -> String {
    let view = picture.view();
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = writeln!(
        out,
        "Duohuo demo  {:5.1} s   height {}   {} commits/s   authority {}   conflicting votes {}",
        since.as_secs_f64(),
        view.height(),
        view.rate(),
        if told.authority_live { "up" } else { "DOWN" },
        view.conflicting_votes
    );
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let _ = writeln!(
        out,
        "transfers    submitted {}   committed {}   waiting {}",
        count(&load.submitted),
        count(&load.committed),
        count(&load.outstanding)
    );
    let _ = writeln!(out);
    let rooms: BTreeSet<RoomId> = places(roster).values().map(|(_, room)| *room).collect();
    let _ = write!(out, "{:<8}", "");
    for room in &rooms {
        let _ = write!(out, "{:<17}", format!("room {}", room.0));
    }
    let _ = writeln!(out, "{:>6}", "epoch");
    for cluster in &roster.clusters {
        let _ = write!(out, "{:<8}", cluster.name);
        for room in &rooms {
            let cells: Vec<_> = cluster
                .nodes
                .iter()
                .filter(|n| n.room == *room)
                .map(|n| cell(told, &view, cluster.id, n.id))
                .collect();
            let text = cells.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
            let colour = cells.first().map_or("", |(_, colour)| *colour);
            let _ = write!(out, "{colour}{text:<17}\x1b[0m");
        }
        let _ = writeln!(out, "{:>6}", view.rows.get(&cluster.id).map_or(0, |row| row.epoch.0));
    }
    let _ = writeln!(
        out,
        "\n(M master, S standby, o ordinary, x dead, ! barred, ~ not in sync; with the height)\n"
    );
    for line in &told.lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "> {}", told.doing);
    out
}

/// Text and colour of one node.
fn cell(told: &Told, view: &picture::View, cluster: ClusterId, id: NodeId) -> (String, &'static str) {
    if !told.live.contains(&id) {
        return ("x".into(), "\x1b[31m");
    }
    let node = view.nodes.get(&id);
    let row = view.rows.get(&cluster);
    let (mark, colour) = match node.and_then(|n| n.role) {
        Some(Role::Master) => ("M", "\x1b[1;32m"),
        Some(Role::Standby) => ("S", "\x1b[36m"),
        Some(Role::Ordinary) => ("o", ""),
        None => ("?", "\x1b[33m"),
    };
    let state = match row {
        Some(row) if row.barred.contains(&id) => "!",
        Some(row) if row.in_sync.contains(&id) => "",
        _ => "~",
    };
    (format!("{mark}{state} {}", node.map_or(0, |n| n.height)), colour)
}
