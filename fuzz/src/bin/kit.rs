//! What a campaign and the tests need besides libFuzzer: the list of targets, seed corpora, dictionaries, the comparison
//! with the independent decoder, and the speed of a target's function alone.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use duohuo_fuzz::{TARGETS, by_name, dictionary, packets, seeds};
use duohuo_wire::{
    error::DecodeError,
    packet::{Packet, PacketType},
};

const USAGE: &str = "usage: kit list | seeds TARGET DIRECTORY | dictionary TARGET FILE | compare [DIRECTORY] | speed TARGET FILE...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.share)),
        ["seeds", target, directory] => write_seeds(target, Path::new(directory)),
        ["dictionary", target, file] => {
            fs::write(file, dictionary::of(target)).expect("the dictionary is written")
        }
        ["compare"] => return compare(None),
        ["compare", directory] => return compare(Some(Path::new(directory))),
        ["speed", target, ref files @ ..] => speed(target, files),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One file each, named by its place: the same names and bytes on each run.
fn write_seeds(target: &str, directory: &Path) {
    fs::create_dir_all(directory).expect("the directory of the corpus is made");
    for (place, seed) in seeds::of(target, &repository().join("spec/vectors")).iter().enumerate() {
        fs::write(directory.join(format!("seed-{place:04}")), seed).expect("a seed is written");
    }
}

/// Mutations of each body of the vectors that both decoders are asked about.
const MUTATIONS: u32 = 24;

/// Asks this decoder and the one in Python about the bodies of the vectors, mutations of them, and what a campaign has
/// found (`DIRECTORY/<family>/*`): verdict and reason must be the same.
fn compare(found: Option<&Path>) -> ExitCode {
    let mut bodies: BTreeSet<(u8, Vec<u8>)> = BTreeSet::new();
    let mut random = Random(0x4455_4F48);
    for (packet_type, body) in seeds::packet_bodies(PacketType::ALL, &repository().join("spec/vectors")) {
        for _ in 0..MUTATIONS {
            bodies.insert((packet_type.code(), random.mutate(&body)));
        }
        bodies.insert((packet_type.code(), body));
    }
    let kept = repository().join("fuzz/regressions");
    for directory in [Some(kept.as_path()), found].into_iter().flatten() {
        for (target, types) in packets::FAMILIES {
            for input in files_of(&directory.join(target)) {
                if let Some((packet_type, body)) = packets::split(types, &input) {
                    bodies.insert((packet_type.code(), body.to_vec()));
                }
            }
        }
    }
    let answers = ask_python(&bodies);
    let (mut passed, mut failed) = (0, 0);
    for ((code, body), answer) in bodies.iter().zip(&answers) {
        let ours = verdict(Packet::decode(*code, body).err());
        if *answer == ours {
            passed += 1;
        } else {
            failed += 1;
            eprintln!("type {code:#04x}, body {}: Rust says {ours:?}, Python {answer:?}", hex(body));
        }
    }
    if answers.len() != bodies.len() {
        failed += 1;
        eprintln!("the other decoder answered {} of {} times", answers.len(), bodies.len());
    }
    println!("{passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed != 0))
}

/// `valid`, or the label of the first broken rule and its field, if the rule has one.
fn verdict(error: Option<DecodeError>) -> String {
    match error {
        None => "valid".into(),
        Some(error) => error.label().into(),
    }
}

fn ask_python(bodies: &BTreeSet<(u8, Vec<u8>)>) -> Vec<String> {
    let mut child = Command::new(repository().join("tools/vectors/run"))
        .arg("--batch")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tools/vectors/run starts");
    let mut input = child.stdin.take().expect("a pipe");
    let lines: String = bodies.iter().map(|(code, body)| format!("{code} {}\n", hex(body))).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    let _ = writer.join();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let answer: serde_json::Value = serde_json::from_str(line).expect("one answer a line");
            let key = if answer["result"] == "valid" { "result" } else { "reason" };
            answer[key].as_str().unwrap_or_default().to_owned()
        })
        .collect()
}

fn files_of(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_file()).filter_map(|entry| fs::read(entry.path()).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a target's function over these files for a second; executions per second, without instrumentation.
fn speed(target: &str, files: &[&str]) {
    let target = by_name(target);
    let mut inputs: Vec<Vec<u8>> =
        files.iter().map(|file| fs::read(file).expect("an input is read")).collect();
    if inputs.is_empty() {
        inputs = seeds::of(target.name, &repository().join("spec/vectors"));
    }
    inputs.iter().for_each(|input| (target.check)(input));
    let (begun, mut executions) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(1) {
        inputs.iter().for_each(|input| (target.check)(input));
        executions += inputs.len() as u64;
    }
    let per_second = executions as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{{\"target\":\"{}\",\"inputs\":{},\"executions_per_s\":{per_second:.0}}}",
        target.name,
        inputs.len()
    );
}

/// Numbers that are the same on each run (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap_or(0)
    }

    /// A body with one change: a byte set, a bit flipped, cut, grown, or a number set to an end of its range.
    fn mutate(&mut self, body: &[u8]) -> Vec<u8> {
        let mut bytes = body.to_vec();
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, [0, 1, 4, 6, 0x80, 0xFF][self.below(6)]),
            2 => bytes.extend([[0, 2, 0, 0], [0x80, 1, 0, 0], [0, 1, 0, 0], [0, 2, 0, 9]][self.below(4)]),
            kind => {
                if let Some(byte) = bytes.get_mut(at) {
                    match kind {
                        3 => *byte ^= 1 << self.below(8),
                        4 => *byte = [0, 1, 2, 3, 0x7F, 0x80, 0xFF][self.below(7)],
                        _ => *byte = byte.wrapping_add(1),
                    }
                }
            }
        }
        bytes
    }
}
