//! A node that catches up, as a bar: `duohuo wait caught-up --node NAME`.

use crate::access::{Access, Server};
use crate::look::{Told, follow};
use crate::status::ask_all;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Event;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// So many blocks behind is not behind: blocks are on their way all the time.
const NEAR_HEAD: u64 = 20;
/// Of the bar, in characters.
const WIDTH: usize = 30;
const ASK_INTERVAL: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two lines where there is no terminal to draw on.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Of what a snapshot lacks nothing is told for so long: it is here, or given up.
const STALE: Duration = Duration::from_secs(2);
/// [`duohuo_wire::packet::Watch::kinds`]: the kinds from 32 up.
const LATER_KINDS: u32 = 1;
const CATCHING_UP: u16 = 50;

/// What is known of it now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Picture {
    /// `None`: it does not answer.
    height: Option<u64>,
    /// The highest that another node answered.
    target: Option<u64>,
    /// Of the snapshot that it fetches, if it does.
    permille: Option<u32>,
}

impl Picture {
    fn is_done(&self) -> bool {
        self.height.zip(self.target).is_some_and(|(height, target)| height + NEAR_HEAD >= target)
    }
}

/// Where the blocks began, and when: the rate is theirs.
#[derive(Default)]
struct Pace {
    began: Option<(Duration, u64)>,
}

impl Pace {
    /// Blocks a second since the first look, or since a snapshot took the place of many.
    fn of(&mut self, at: Duration, picture: Picture) -> Option<u64> {
        let height = picture.height?;
        if picture.permille.is_some() {
            self.began = None;
            return None;
        }
        let (since, from) = *self.began.get_or_insert((at, height));
        let ms = u64::try_from(at.saturating_sub(since).as_millis()).ok()?;
        (height.saturating_sub(from) * 1_000).checked_div(ms).filter(|rate| *rate > 0)
    }
}

fn bar(done: u64, all: u64) -> String {
    let part = usize::try_from(done.min(all) * WIDTH as u64 / all.max(1)).unwrap_or(WIDTH);
    format!("[{}{}]", "#".repeat(part), ".".repeat(WIDTH - part))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `from`: the height at which it was met first.
fn line(name: &str, from: u64, picture: Picture, rate: Option<u64>) -> String {
    let Some(height) = picture.height else { return format!("{name}  does not answer") };
    if let Some(permille) = picture.permille {
        return format!("{name}  snapshot  {}  {:3} %", bar(permille.into(), 1_000), permille / 10);
    }
    let Some(target) = picture.target else {
        return format!(
            "{name}  height {}; no other node answers: how far it should be is not known",
            grouped(height)
        );
    };
    let from = from.min(height);
    let (done, all) = (height - from, target.saturating_sub(from));
    let percent = (done * 100).checked_div(all).unwrap_or(100).min(100);
    let mut line = format!(
        "{name}  blocks    {}  {percent:3} %  {} of {}",
        bar(done, all),
        grouped(height),
        grouped(target)
    );
    if let Some(seconds) = rate.and_then(|rate| target.saturating_sub(height).checked_div(rate)) {
        // writing to a string cannot fail
        let _ = write!(line, "  {}/s  {seconds} s left", grouped(rate.unwrap_or(0)));
    }
    line
}

/// A line that is drawn over itself; one after the other where that cannot be.
struct Screen {
    is_terminal: bool,
    last: Option<(Instant, String)>,
}

impl Screen {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), last: None }
    }

    fn show(&mut self, line: String) {
        let is_due =
            self.is_terminal || self.last.as_ref().is_none_or(|(at, _)| at.elapsed() >= LINE_INTERVAL);
        let is_new = self.last.as_ref().is_none_or(|(_, shown)| *shown != line);
        if !is_due || !is_new {
            return;
        }
        let (before, after) = if self.is_terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        let mut out = std::io::stderr();
        // whoever closed it does not look
        let _ = write!(out, "{before}{line}{after}").and_then(|()| out.flush());
        self.last = Some((Instant::now(), line));
    }

    fn end(&self) {
        if self.is_terminal && self.last.is_some() {
            eprintln!();
        }
    }
}

/// Draws until the node has what the others have; whether it had within the time.
pub(crate) fn wait(access: &Access, node: &Server, name: &str, until: Instant) -> bool {
    let (lines, told) = mpsc::channel();
    let (watcher, server) = (access.clone(), *node);
    std::thread::spawn(move || {
        while lines.send(follow(&watcher, &server, LATER_KINDS, &lines)).is_ok() {
            std::thread::sleep(ASK_INTERVAL);
        }
    });
    let begun = Instant::now();
    let (mut screen, mut pace) = (Screen::new(), Pace::default());
    let mut snapshot: Option<(Instant, u32)> = None;
    let mut from = None;
    loop {
        for told in told.try_iter() {
            match told {
                Told::Event(_, event) => {
                    snapshot = fetched(&event).map(|permille| (Instant::now(), permille))
                }
                Told::Lost(..) => snapshot = None,
                Told::Begun(_) => {}
            }
        }
        let picture = look(access, node.id, snapshot);
        if let Some(height) = picture.height {
            let from = *from.get_or_insert(height);
            let rate = pace.of(begun.elapsed(), picture);
            screen.show(line(name, from, picture, rate));
        } else {
            screen.show(line(name, 0, picture, None));
        }
        if picture.is_done() || Instant::now() >= until {
            screen.end();
            return picture.is_done();
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

/// How much of a snapshot it has, if it fetches one.
fn fetched(event: &Event) -> Option<u32> {
    (event.kind == CATCHING_UP && event.round > 0).then_some(event.round)
}

fn look(access: &Access, node: NodeId, snapshot: Option<(Instant, u32)>) -> Picture {
    let mut picture = Picture::default();
    for (server, answer) in ask_all(access, ASK_TIMEOUT) {
        let Ok(report) = answer else { continue };
        if server.id == node {
            picture.height = Some(report.height.0);
        } else if server.id != NodeId::AUTHORITY {
            picture.target = picture.target.max(Some(report.height.0));
        }
    }
    picture.permille = snapshot.filter(|(at, _)| at.elapsed() < STALE).map(|(_, permille)| permille);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(height: u64, target: u64) -> Picture {
        Picture { height: Some(height), target: Some(target), permille: None }
    }

    #[test]
    fn the_bar_says_how_far_how_fast_and_how_long() {
        assert_eq!(
            line("a3", 1_000, at(41_000, 101_000), Some(12_345)),
            "a3  blocks    [############..................]   40 %  41,000 of 101,000  12,345/s  4 s left"
        );
        assert_eq!(
            line("a3", 0, Picture { permille: Some(999), ..at(0, 5_000) }, None),
            "a3  snapshot  [#############################.]   99 %"
        );
        assert_eq!(
            line("a3", 7, at(7, 7), None),
            "a3  blocks    [..............................]  100 %  7 of 7"
        );
        assert_eq!(line("a3", 0, Picture::default(), None), "a3  does not answer");
        let alone = Picture { target: None, ..at(12, 0) };
        assert!(line("a3", 0, alone, None).ends_with("how far it should be is not known"));
    }

    #[test]
    fn it_has_caught_up_when_it_is_within_twenty_blocks_of_the_highest() {
        assert!(at(980, 1_000).is_done() && at(1_001, 1_000).is_done());
        assert!(!at(979, 1_000).is_done());
        assert!(!Picture { target: None, ..at(5, 0) }.is_done(), "nobody to compare with");
        assert!(!Picture { height: None, ..at(0, 5) }.is_done());
    }

    #[test]
    fn a_snapshot_that_took_the_place_of_many_blocks_is_no_pace_of_blocks() {
        let mut pace = Pace::default();
        let second = Duration::from_secs;
        assert_eq!(pace.of(second(0), at(0, 100_000)), None);
        assert_eq!(pace.of(second(1), Picture { permille: Some(500), ..at(0, 100_000) }), None);
        assert_eq!(pace.of(second(2), at(99_000, 100_000)), None);
        assert_eq!(pace.of(second(4), at(99_500, 100_000)), Some(250));
    }

    #[test]
    fn numbers_are_read_in_groups() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
