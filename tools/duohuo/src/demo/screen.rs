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
/// Lines told before that are kept; as many of the last ones are shown as the terminal has room for.
const LINES_KEPT: usize = 100;
/// Of a terminal that does not tell its size.
const COLUMNS_AND_ROWS: (usize, usize) = (80, 24);
/// A second screen, as editors use it, and no cursor; the end undoes both.
const BEGIN_LIVE: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const END_LIVE: &str = "\x1b[?25h\x1b[?1049l";

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
    drawing: Mutex<Option<JoinHandle<()>>>,
    /// The summary is the last JSON line.
    closed: AtomicBool,
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
        Self {
            mode,
            begun: Instant::now(),
            told: Mutex::new(told),
            stop: AtomicBool::new(false),
            drawing: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
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
            Mode::Plain => print_line(&format!("{:7.3} s  {text}", self.begun.elapsed().as_secs_f64())),
            Mode::Json => self.json("note", json!({ "text": text })),
        }
    }

    /// What is being done now.
    pub(crate) fn doing(&self, text: &str) {
        match self.mode {
            Mode::Live => text.clone_into(&mut self.told().doing),
            Mode::Plain => print_line(&format!("{:7.3} s  {text} ...", self.begun.elapsed().as_secs_f64())),
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
        let mut out = std::io::stdout().lock();
        // asked again under the lock: nothing may follow the summary
        if !self.closed.load(Ordering::Relaxed) {
            write_line(&mut out, &Value::Object(object).to_string());
        }
    }

    /// The summary as the last line of JSON; whatever is told later goes nowhere.
    pub(crate) fn close(&self, summary: &Value) {
        let mut out = std::io::stdout().lock();
        self.closed.store(true, Ordering::Relaxed);
        write_line(&mut out, &summary.to_string());
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

    /// Draw until [`Screen::stop`], if the mode is live.
    pub(crate) fn start(self: &Arc<Self>, picture: Arc<Picture>, load: Arc<LoadState>) {
        if self.mode != Mode::Live {
            return;
        }
        let screen = Arc::clone(self);
        let drawing = std::thread::spawn(move || {
            let _ = write!(std::io::stdout(), "{BEGIN_LIVE}");
            while !screen.stop.load(Ordering::Relaxed) {
                screen.draw(&picture, &load);
                std::thread::sleep(FRAME_INTERVAL);
            }
            let _ = write!(std::io::stdout(), "{END_LIVE}").and_then(|()| std::io::stdout().flush());
        });
        *self.drawing.lock().unwrap_or_else(PoisonError::into_inner) = Some(drawing);
    }

    /// Stop drawing and give the terminal back as it was.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(drawing) = drawing {
            let _ = drawing.join();
        }
    }

    fn draw(&self, picture: &Picture, load: &LoadState) {
        let (columns, rows) = terminal_size();
        let lines = {
            let told = self.told();
            let Some(roster) = &told.roster else { return };
            frame(&told, roster, &picture.view(), load, self.begun.elapsed(), rows)
        };
        // home, the lines each cleared to their end, then everything below; at once, so that nothing flickers
        let lines: Vec<_> = lines.iter().take(rows).map(|line| cut(line, columns)).collect();
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")).and_then(|()| out.flush());
    }
}

/// A line on standard output.
pub(crate) fn print_line(text: &str) {
    write_line(&mut std::io::stdout().lock(), text);
}

fn write_line(out: &mut impl std::io::Write, text: &str) {
    // nobody reads any more: then there is nobody to tell
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Columns and rows.
fn terminal_size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
        .unwrap_or(COLUMNS_AND_ROWS)
}

/// At most so many columns of a line; colours take none.
fn cut(line: &str, columns: usize) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut used, mut in_colour) = (0, false);
    for c in line.chars() {
        in_colour |= c == '\x1b';
        if in_colour {
            out.push(c);
            in_colour = c != 'm';
        } else if used < columns {
            out.push(c);
            used += 1;
        }
    }
    out
}

/// The lines of one picture; the last of what was told fill what is left of `rows`.
fn frame(
    told: &Told,
    roster: &Roster,
    view: &picture::View,
    load: &LoadState,
    since: Duration,
    rows: usize,
) -> Vec<String> {
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let mut lines = vec![
        format!(
            "Duohuo demo {:5.1} s  height {}  {} commits/s  authority {}  conflicting votes {}",
            since.as_secs_f64(),
            view.height(),
            view.rate(),
            if told.authority_live { "up" } else { "DOWN" },
            view.conflicting_votes
        ),
        format!(
            "transfers: submitted {}  committed {}  waiting {}",
            count(&load.submitted),
            count(&load.committed),
            count(&load.outstanding)
        ),
        String::new(),
    ];
    table(told, roster, view, &mut lines);
    lines.push("M master  S standby  o ordinary  x dead  ! barred  ~ not in sync; and height".into());
    lines.push(String::new());
    lines.push(format!("> {}", told.doing));
    let room = rows.saturating_sub(lines.len());
    lines.extend(told.lines.iter().skip(told.lines.len().saturating_sub(room)).cloned());
    lines
}

/// Rooms x clusters.
fn table(told: &Told, roster: &Roster, view: &picture::View, lines: &mut Vec<String>) {
    let rooms: BTreeSet<RoomId> = places(roster).values().map(|(_, room)| *room).collect();
    let mut head = format!("{:<8}", "cluster");
    for room in &rooms {
        // writing to a string cannot fail
        let _ = write!(head, "{:<16}", format!("room {}", room.0));
    }
    lines.push(format!("{head}{:>6}", "epoch"));
    for cluster in &roster.clusters {
        let mut line = format!("{:<8}", cluster.name);
        for room in &rooms {
            let cells: Vec<_> = cluster
                .nodes
                .iter()
                .filter(|n| n.room == *room)
                .map(|n| cell(told, view, cluster.id, n.id))
                .collect();
            let text = cells.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
            let colour = cells.first().map_or("", |(_, colour)| *colour);
            let _ = write!(line, "{colour}{text:<16}\x1b[0m");
        }
        lines.push(format!("{line}{:>6}", view.rows.get(&cluster.id).map_or(0, |row| row.epoch.0)));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;
    use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party};

    fn roster() -> Roster {
        let layout = Layout::four_companies(4750);
        let clusters = (1u32..).zip(&layout.cluster).map(|(id, c)| ClusterEntry {
            id: ClusterId(id),
            name: c.name.clone(),
            group: c.group,
            nodes: (1u32..)
                .zip(&c.node)
                .map(|(n, node)| NodeEntry {
                    id: NodeId(100 * id + n),
                    name: node.name.clone(),
                    room: RoomId(node.room),
                    priority: node.priority,
                    address: node.address,
                    session_key: [0; 32],
                    signing_key: [0; 32],
                })
                .collect(),
        });
        Roster {
            consortium: [0; 16],
            version: 1,
            authority: Party { address: layout.authority, session_key: [0; 32], signing_key: [0; 32] },
            clusters: clusters.collect(),
            clients: Vec::new(),
            signature: [0; 64],
        }
    }

    #[test]
    fn a_picture_fits_eighty_columns_and_twenty_four_rows_and_shows_the_last_lines() {
        let told = Told {
            roster: None,
            live: [101, 102].map(NodeId).into(),
            authority_live: true,
            lines: (1..=40).map(|n| format!("line {n}")).collect(),
            doing: "kill -9 A1, the master of A".into(),
        };
        let mut view = picture::View::default();
        view.nodes.entry(NodeId(101)).or_default().role = Some(Role::Master);
        view.nodes.entry(NodeId(101)).or_default().height = 12_345;
        let lines = frame(&told, &roster(), &view, &LoadState::default(), Duration::from_secs(61), 24);
        assert_eq!(lines.len(), 24);
        assert_eq!(lines.last().map(String::as_str), Some("line 40"));
        assert_eq!(
            lines.get(4).map(|line| strip(line)).as_deref(),
            Some("A       M~ 12345        x               ?~ 0                                 0")
        );
        for line in &lines {
            let plain: String = strip(line);
            assert!(plain.chars().count() <= 80, "{plain}");
        }
    }

    fn strip(line: &str) -> String {
        let mut out = String::new();
        let mut in_colour = false;
        for c in line.chars() {
            in_colour |= c == '\x1b';
            if !in_colour {
                out.push(c);
            }
            in_colour &= c != 'm';
        }
        out
    }

    #[test]
    fn a_long_line_is_cut_without_cutting_its_colours() {
        assert_eq!(cut("abc\x1b[31mdef\x1b[0mghi", 5), "abc\x1b[31mde\x1b[0m");
        assert_eq!(cut("abc", 5), "abc");
    }
}
