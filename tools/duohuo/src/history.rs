//! `duohuo history`: what the authority decided, when and why, read from its journal and verified: each entry is chained
//! to the one before, and the last one is signed. Beside each grant, how long nobody could speak and how it came about.

use crate::access::{Access, AccessArgs};
use crate::failure::{EXIT_HELP, Failure};
use crate::local_acts::LocalActs;
use clap::{Args, ValueEnum};
use duohuo_driver::keys::{self, hex};
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::order::SignedOrder;
use duohuo_wire::packet::{Journal, JournalEntry, JournalQuery, Packet};
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::takeover::SignedTakeover;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Show what the authority decided, when, why and by whose order, and how long each switch took; the record is verified
#[derive(Args, Debug)]
#[command(after_help = format!("What is done to one process on its machine (it is stopped, told to read its files again, held a drill with) is no decision of the authority, and is kept beside that process's store. With the \
configuration of a node or of the authority as --config, on its machine: those acts alone, by whom and why, verified, too. With --acts: among the authority's decisions, by time.\n\n{EXIT_HELP}"))]
pub(crate) struct HistoryArgs {
    /// One cluster, by name or number [default: all]
    cluster: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// Also what was done to this process on this machine: the configuration of a node or of the authority; can be given again
    #[arg(long, value_name = "FILE")]
    acts: Vec<PathBuf>,
    /// A table, or one JSON object with a schema number
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Refuse a history that is not the one noted in this file grown longer; then note how far it is now. A new file is made
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
    /// Seconds to wait for the authority
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
enum Format {
    Table,
    Json,
}

/// The whole journal that the authority still shows, verified.
pub(crate) struct Record {
    pub(crate) entries: Vec<JournalEntry>,
    takeovers: Vec<SignedTakeover>,
    /// The chain's hash before the first of them.
    before: [u8; 32],
    head: u64,
    head_hash: [u8; 32],
}

impl Record {
    /// How masters came to act, by the decision that granted them.
    fn by_decision(&self) -> BTreeMap<u64, &SignedTakeover> {
        self.takeovers.iter().map(|one| (one.decision, one)).collect()
    }
}

pub(crate) fn run(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    if let Some(config) = args.access.of_a_process() {
        let local = LocalActs::read(config)?;
        match args.output {
            Format::Json => println!("{}", serde_json::json!({ "schema": 1, "acts": local.acts })),
            Format::Table => print!("{}", local.as_lines()),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let local = args.acts.iter().map(|config| LocalActs::read(config)).collect::<Result<Vec<_>, _>>()?;
    let access = Access::open(&args.access)?;
    let wanted = match &args.cluster {
        None => None,
        Some(text) => {
            let named = access.roster.clusters.iter().find(|c| c.name == *text || text.parse() == Ok(c.id.0));
            Some(named.ok_or_else(|| Failure::invalid(format!("the roster has no cluster {text:?}")))?.id)
        }
    };
    let record = read(&access, Duration::from_secs(args.timeout))?;
    if let Some(seen) = &args.seen {
        grown(&record, seen)?;
    }
    let shown = |e: &&JournalEntry| wanted.is_none_or(|id| e.cluster == id || e.cluster == ClusterId(0));
    let entries: Vec<&JournalEntry> = record.entries.iter().filter(shown).collect();
    match args.output {
        Format::Json => println!("{}", as_json(&access, &record, &entries, &local)),
        Format::Table => print!("{}", as_table(&access, &record, &entries, &local)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn read(access: &Access, timeout: Duration) -> Result<Record, Failure> {
    let key = VerifyingKey::from_bytes(&access.roster.authority.signing_key)
        .map_err(|_| Failure::invalid("the roster's key of the authority is no key"))?;
    let no_answer = |e: duohuo_driver::client::ClientError| {
        Failure::unreachable(format!("the authority did not answer: {e}"))
    };
    let mut client = access.connect(&access.authority(), timeout).map_err(no_answer)?;
    let until = Instant::now() + timeout;
    let mut entries: Vec<JournalEntry> = Vec::new();
    let mut takeovers: Vec<SignedTakeover> = Vec::new();
    let mut hash = None;
    let mut before = None;
    loop {
        let from = entries.last().map_or(1, |entry| entry.number + 1);
        client
            .send(&Packet::from(JournalQuery { request: from, from, ..Default::default() }))
            .map_err(no_answer)?;
        let page = loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::unreachable("the authority did not answer in time"));
            }
            match client.recv(left).map_err(no_answer)? {
                Some(Packet::Journal(page)) if page.request == from => break page,
                _ => {}
            }
        };
        let ended = verify(&page, &key, entries.last(), &mut hash)
            .map_err(|why| Failure::failed(format!("the journal does not hold: {why}")))?;
        let (head, head_hash) = (page.head, page.head_hash);
        let before = *before.get_or_insert(page.before);
        entries.extend(page.entries);
        let told = SignedTakeover::of(&page.extensions).unwrap_or_default();
        crate::takeovers::verify(&told, takeovers.last(), &entries, &key)
            .map_err(|why| Failure::failed(format!("the journal does not hold: {why}")))?;
        takeovers.extend(told);
        if ended {
            return Ok(Record { entries, takeovers, before, head, head_hash });
        }
    }
}

/// W-JRN-1: this page follows what was read, and the last one ends with the signed head. Whether it was the last.
fn verify(
    page: &Journal,
    key: &VerifyingKey,
    last: Option<&JournalEntry>,
    hash: &mut Option<[u8; 32]>,
) -> Result<bool, String> {
    if !page.verify(key) {
        return Err("its head is not signed by the authority".into());
    }
    if hash.is_some_and(|hash| hash != page.before) {
        return Err("a page does not follow the one before".into());
    }
    let mut after = page.before;
    let mut before = last.map(|entry| entry.number);
    for entry in &page.entries {
        if before.is_some_and(|before| entry.number != before.saturating_add(1)) {
            return Err(format!("decision {} does not follow the one before", entry.number));
        }
        before = Some(entry.number);
        after = entry.chained(&after);
    }
    *hash = Some(after);
    let ended = before.is_none_or(|number| number >= page.head);
    if ended && (after != page.head_hash || before.unwrap_or(page.head) != page.head) {
        return Err("it does not end with the signed head".into());
    }
    if !ended && page.entries.is_empty() {
        return Err("a page is missing".into());
    }
    Ok(ended)
}

/// An authority could sign another past; not to somebody who noted where it was.
fn grown(record: &Record, seen: &Path) -> Result<(), Failure> {
    let wrong = |what: String| Failure::failed(format!("{}: {what}", seen.display()));
    if let Ok(noted) = std::fs::read_to_string(seen) {
        let mut lines = noted.lines();
        let parsed = lines
            .next()
            .and_then(|line| line.trim().split_once(' '))
            .and_then(|(number, hash)| Some((number.parse::<u64>().ok()?, keys::parse_hex::<32>(hash)?)));
        let (number, hash) = parsed.ok_or_else(|| {
            wrong("it holds no decision and hash; expected a file that duohuo history --seen wrote".into())
        })?;
        match hash_at(record, number) {
            Some(found) if found == hash => {}
            Some(found) => {
                return Err(wrong(format!(
                    "decision {number} ended with {} when it was noted, and ends with {} now: the history was rewritten; keep both files, and ask who has the authority's key",
                    hex(&hash),
                    hex(&found)
                )));
            }
            None if number > record.head => {
                return Err(wrong(format!(
                    "decision {number} was noted, and there are only {} now: the authority forgot some; stop it, its disk was set back",
                    record.head
                )));
            }
            None => {
                return Err(wrong(format!(
                    "decision {number} was noted, and the authority shows only those from {} on; read it more often",
                    record.entries.first().map_or(0, |e| e.number)
                )));
            }
        }
        takeovers_grown(record, lines.next()).map_err(wrong)?;
    }
    let mut noted = format!("{} {}\n", record.head, hex(&record.head_hash));
    if let Some(last) = record.takeovers.last() {
        noted.push_str(&format!("takeovers {} {}\n", last.number, hex(&last.hash())));
    }
    std::fs::write(seen, noted).map_err(|e| wrong(format!("{e}; expected a file that can be written")))
}

/// What was noted of takeovers, by a program that knew of them, is what is told now.
fn takeovers_grown(record: &Record, noted: Option<&str>) -> Result<(), String> {
    let Some((number, hash)) = noted.and_then(|line| line.strip_prefix("takeovers ")?.split_once(' ')) else {
        return Ok(());
    };
    let found = record.takeovers.iter().find(|one| number.parse() == Ok(one.number));
    match found {
        Some(one) if hex(&one.hash()) == hash => Ok(()),
        Some(_) => Err(format!("takeover {number} was noted and is another now: the history was rewritten")),
        // an authority shows as many as it keeps
        None if record
            .takeovers
            .first()
            .is_some_and(|first| number.parse().is_ok_and(|n: u64| n < first.number)) =>
        {
            Ok(())
        }
        None => {
            Err(format!("takeover {number} was noted and is not there any more: the authority forgot some"))
        }
    }
}

/// The chain's hash after a decision, if it is shown.
fn hash_at(record: &Record, number: u64) -> Option<[u8; 32]> {
    let first = record.entries.first().map_or(record.head + 1, |entry| entry.number);
    let mut hash = record.before;
    if number + 1 == first {
        return Some(hash);
    }
    for entry in &record.entries {
        hash = entry.chained(&hash);
        if entry.number == number {
            return Some(hash);
        }
    }
    None
}

fn order_of(entry: &JournalEntry) -> Option<SignedOrder> {
    SignedOrder::decode(&entry.order).ok()
}

/// What was done: the kind, or what the order ordered.
fn what(entry: &JournalEntry) -> String {
    let name =
        order_of(entry).map_or_else(|| format!("{:?}", entry.kind), |order| format!("Order{:?}", order.kind));
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn cluster_name(access: &Access, id: ClusterId) -> String {
    if id == ClusterId(0) {
        return "all".into();
    }
    access.roster.cluster(id).map_or_else(|| id.0.to_string(), |c| c.name.clone())
}

fn node_name(access: &Access, id: NodeId) -> String {
    if id == NodeId(0) {
        return "-".into();
    }
    access.roster.node(id).map_or_else(|| id.0.to_string(), |(_, n)| n.name.clone())
}

/// RFC 3339, UTC, milliseconds.
fn time(at_unix_us: u64) -> String {
    if at_unix_us == 0 {
        return "-".into();
    }
    let at = i64::try_from(at_unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    at.map_or_else(|| at_unix_us.to_string(), |at| format!("{at:.3}"))
}

/// Text of others on one line: nothing in it can move the cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The columns of the table, without the spaces at its end.
fn line(columns: [&str; 12]) -> String {
    let [number, time, cluster, what, reason, epoch, version, node, old, new, outage, by] = columns;
    let line = format!(
        "{number:>6}  {time:<24} {cluster:<8} {what:<13} {reason:<13} {epoch:>6} {version:>4}  {node:<8} {old:<8} {new:<8} {outage:>9}  {by}"
    );
    line.trim_end().to_owned() + "\n"
}

/// What was done on machines until then and is not told yet, as lines of the table.
fn local_until(rest: &mut Vec<(u64, String)>, at_unix_us: u64) -> String {
    let split = rest.iter().position(|(at, _)| *at > at_unix_us).unwrap_or(rest.len());
    rest.drain(..split).map(|(_, line)| line).collect()
}

fn as_table(access: &Access, record: &Record, entries: &[&JournalEntry], local: &[LocalActs]) -> String {
    let of = |one: &LocalActs| {
        let rows = one.acts.iter().map(|act| {
            let (at, by) = (time(act.at_unix_us), plain(&LocalActs::by_whom(act)));
            let told = line(["-", &at, &one.cluster, &act.what, "here", "", "", &one.name, "", "", "", &by]);
            (act.at_unix_us, told)
        });
        rows.collect::<Vec<_>>()
    };
    let mut acts: Vec<(u64, String)> = local.iter().flat_map(of).collect();
    acts.sort_by_key(|(at, _)| *at);
    let mut out = line([
        "number",
        "time",
        "cluster",
        "what",
        "reason",
        "epoch",
        "ver",
        "node",
        "old",
        "new",
        "outage ms",
        "by whom, and why",
    ]);
    let takeovers = record.by_decision();
    for e in entries {
        let by = order_of(e).map_or(String::new(), |o| format!("{}: {}", plain(&o.who), plain(&o.why)));
        let takeover = takeovers.get(&e.number).copied();
        let outage =
            if crate::takeovers::is_grant(e) { crate::takeovers::outage(takeover) } else { String::new() };
        out.push_str(&local_until(&mut acts, e.at_unix_us));
        out.push_str(&line([
            &e.number.to_string(),
            &time(e.at_unix_us),
            &cluster_name(access, e.cluster),
            &what(e),
            &format!("{:?}", e.reason).to_lowercase(),
            &e.epoch.0.to_string(),
            &e.version.0.to_string(),
            &node_name(access, e.node),
            &node_name(access, e.old),
            &node_name(access, e.new),
            &outage,
            &by,
        ]));
        if let Some(phases) = takeover.and_then(crate::takeovers::phases) {
            out.push_str(&format!("{:>8}{phases}\n", ""));
        }
    }
    out.push_str(&local_until(&mut acts, u64::MAX));
    out.push_str(&format!("verified up to {}: {}\n", record.head, hex(&record.head_hash)));
    for one in local {
        out.push_str(&format!("verified: {}\n", one.sum()));
    }
    out
}

fn as_json(
    access: &Access,
    record: &Record,
    entries: &[&JournalEntry],
    local: &[LocalActs],
) -> serde_json::Value {
    let takeovers = record.by_decision();
    let entries: Vec<_> = entries
        .iter()
        .map(|e| {
            let order = order_of(e);
            let takeover = takeovers.get(&e.number).copied();
            serde_json::json!({
                "number": e.number, "at_unix_us": e.at_unix_us, "time": time(e.at_unix_us),
                "cluster": cluster_name(access, e.cluster), "what": what(e),
                "reason": format!("{:?}", e.reason).to_lowercase(), "epoch": e.epoch.0, "version": e.version.0,
                "node": e.node.0, "old": e.old.0, "new": e.new.0,
                "who": order.as_ref().map(|o| o.who.clone()), "why": order.as_ref().map(|o| o.why.clone()),
                "order": order.as_ref().map(|o| o.number),
                "outage_us": takeover.and_then(SignedTakeover::outage_us),
                "phases": takeover.map(crate::takeovers::phases_json),
            })
        })
        .collect();
    let acts: Vec<_> = local
        .iter()
        .map(|one| serde_json::json!({ "node": one.node.0, "name": one.name, "acts": one.acts }))
        .collect();
    serde_json::json!({
        "schema": 1, "head": record.head, "head_hash": hex(&record.head_hash), "entries": entries, "local": acts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::sign::SigningKey;

    fn chain(count: u64) -> Vec<JournalEntry> {
        (1..=count).map(|number| JournalEntry { number, ..Default::default() }).collect()
    }

    fn page(entries: &[JournalEntry], before: [u8; 32], all: &[JournalEntry], key: &SigningKey) -> Journal {
        let head_hash = all.iter().fold([0; 32], |hash, entry| entry.chained(&hash));
        Journal::sign(1, before, entries.to_vec(), all.len() as u64, head_hash, key)
    }

    #[test]
    fn w_jrn_1_a_journal_holds_only_as_it_was_written() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (public, all) = (key.verifying_key(), chain(5));
        let (first, second) = all.split_at(3);
        let middle = first.iter().fold([0; 32], |hash, entry| entry.chained(&hash));
        let mut hash = None;
        assert_eq!(verify(&page(first, [0; 32], &all, &key), &public, None, &mut hash), Ok(false));
        let last = first.last();
        let good = page(second, middle, &all, &key);
        assert_eq!(verify(&good, &public, last, &mut hash.clone()), Ok(true));
        let mut changed = good.clone();
        changed.entries.iter_mut().for_each(|entry| entry.node = NodeId(9));
        assert!(verify(&changed, &public, last, &mut hash.clone()).is_err(), "an entry was changed");
        let mut gap = good.clone();
        gap.entries.remove(0);
        assert!(verify(&gap, &public, last, &mut hash.clone()).is_err(), "an entry is missing");
        let other = page(second, [1; 32], &all, &key);
        assert!(verify(&other, &public, last, &mut hash.clone()).is_err(), "it does not follow");
        let stranger = SigningKey::from_bytes(&[8; 32]);
        assert!(verify(&page(second, middle, &all, &stranger), &public, last, &mut hash.clone()).is_err());
        let mut cut = good;
        cut.entries.pop();
        assert_eq!(verify(&cut, &public, last, &mut hash.clone()), Ok(false), "more is to come");
        cut.entries.clear();
        assert!(verify(&cut, &public, last, &mut hash.clone()).is_err(), "it never comes");
    }

    #[test]
    fn w_jrn_2_takeovers_hold_only_as_they_were_kept() {
        use crate::takeovers::{tests::one, verify};
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key();
        let mut entries = chain(5);
        for entry in entries.iter_mut().skip(1) {
            entry.epoch = duohuo_wire::ids::Epoch(2);
        }
        let first = one(None, 4, &key);
        let second = one(Some(&first), 5, &key);
        let both = [first.clone(), second.clone()];
        assert_eq!(verify(&both, None, &entries, &public), Ok(()));
        assert_eq!(verify(&both[1..], Some(&first), &entries, &public), Ok(()));
        assert_eq!(verify(&both[1..], None, &entries, &public), Ok(()), "older ones are not shown any more");
        let refused = |page: &[SignedTakeover], last: Option<&SignedTakeover>| {
            verify(page, last, &entries, &public).expect_err("refused")
        };
        let stranger = SigningKey::from_bytes(&[8; 32]);
        assert!(refused(&[one(None, 4, &stranger)], None).contains("is not signed"));
        let mut changed = first.clone();
        changed.takeover.ready_us = Some(1);
        assert!(refused(&[changed], None).contains("is not signed"));
        assert!(refused(&[second.clone(), second.clone()], None).contains("does not follow"));
        assert!(refused(&[one(None, 5, &key)], Some(&first)).contains("does not follow"), "it begins anew");
        assert!(refused(&[one(None, 1, &key)], None).contains("which is no grant"));
        let early = SignedTakeover::sign(None, 3, 4, first.granting, first.takeover, &key);
        assert!(refused(&[early], None).contains("which is no grant"), "noted before it was decided");
    }

    #[test]
    fn a_takeover_that_was_rewritten_or_cut_is_noticed_by_who_noted_it() {
        use crate::takeovers::tests::one;
        let directory = tempfile::tempdir().expect("a directory");
        let (seen, key) = (directory.path().join("seen"), SigningKey::from_bytes(&[7; 32]));
        let record = |takeovers: Vec<SignedTakeover>| {
            let entries = chain(5);
            let head_hash = entries.iter().fold([0; 32], |hash, entry| entry.chained(&hash));
            Record { entries, takeovers, before: [0; 32], head: 5, head_hash }
        };
        let first = one(None, 3, &key);
        let second = one(Some(&first), 4, &key);
        let third = one(Some(&second), 5, &key);
        assert!(grown(&record(vec![]), &seen).is_ok());
        assert!(grown(&record(vec![first.clone()]), &seen).is_ok());
        assert!(grown(&record(vec![first.clone(), second.clone()]), &seen).is_ok());
        let told = grown(&record(vec![one(None, 3, &key)]), &seen).expect_err("cut").to_string();
        assert!(told.contains("takeover 2 was noted and is not there any more"), "{told}");
        let other = one(Some(&first), 5, &key);
        let told = grown(&record(vec![first, other]), &seen).expect_err("rewritten").to_string();
        assert!(told.contains("takeover 2 was noted and is another now"), "{told}");
        assert!(grown(&record(vec![third]), &seen).is_ok(), "older ones are not shown any more");
    }

    #[test]
    fn a_history_that_was_rewritten_or_cut_is_noticed_by_who_noted_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let seen = directory.path().join("seen");
        let record = |entries: Vec<JournalEntry>| {
            let head_hash = entries.iter().fold([0; 32], |hash, entry| entry.chained(&hash));
            Record { head: entries.len() as u64, head_hash, before: [0; 32], entries, takeovers: Vec::new() }
        };
        assert!(grown(&record(chain(3)), &seen).is_ok(), "a new note");
        assert!(grown(&record(chain(3)), &seen).is_ok(), "nothing new");
        assert!(grown(&record(chain(5)), &seen).is_ok(), "grown");
        let mut other = chain(7);
        other.iter_mut().take(1).for_each(|entry| entry.node = NodeId(9));
        let told = grown(&record(other), &seen).expect_err("rewritten").to_string();
        assert!(told.contains("the history was rewritten"), "{told}");
        let told = grown(&record(chain(4)), &seen).expect_err("cut").to_string();
        assert!(told.contains("decision 5 was noted, and there are only 4 now"), "{told}");
        // what is older than the authority shows: the hash before the first entry still tells
        let whole = record(chain(9));
        let rest = |from: usize| Record {
            before: hash_at(&whole, from as u64).expect("there"),
            entries: whole.entries.iter().skip(from).cloned().collect(),
            ..record(chain(9))
        };
        let told = grown(&rest(7), &seen).expect_err("not shown").to_string();
        assert!(told.contains("shows only those from 8 on"), "{told}");
        assert!(grown(&rest(5), &seen).is_ok());
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "-");
        assert_eq!(time(1_000_000), "1970-01-01T00:00:01.000Z");
        assert_eq!(time(951_782_400_123_456), "2000-02-29T00:00:00.123Z");
        assert_eq!(time(1_735_689_599_999_000), "2024-12-31T23:59:59.999Z");
    }
}
