//! What the codec costs: nanoseconds and allocations for each packet read and written, and how often as much as slicing
//! by hand. Both are timed in turn, sample by sample, so that what disturbs one disturbs the other.

mod crypto;
mod slicing;

use crate::statistics::Summary;
use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use clap::Args;
use duohuo_wire::ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version};
use duohuo_wire::packet::{
    Append, BlockPush, Heard, MasterKeepalive, NodeKeepalive, Packet, Role, WireRecord,
};
use serde::Serialize;
use slicing::Peer;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

/// A keepalive is read and written in at most so many times the time of slicing, at the median.
const MAX_RATIO: f64 = 3.0;

/// Options of `codec`.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Samples for each figure.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    samples: u32,
}

/// One packet.
struct Case {
    name: &'static str,
    packet: Packet,
    /// Whether the target is asked of it: the packets that are sent on a timer.
    keepalive: bool,
}

fn cases() -> Vec<Case> {
    let master = MasterKeepalive {
        cluster: ClusterId(3),
        epoch: Epoch(17),
        height: Height(120_000),
        challenge: 0x0102_0304_0506_0708,
        table_version: 55,
        ..Default::default()
    };
    let node = |members: u32| NodeKeepalive {
        cluster: ClusterId(3),
        priority: 200,
        role: Role::Standby,
        in_sync: true,
        interval_us: 100_000,
        epoch: Epoch(17),
        version: Version(4),
        promised: Epoch(17),
        log_end: LogIndex(900_000),
        height: Height(120_000),
        address: ([10, 0, 3, 1], 4751).into(),
        heard: (1..=members).map(|n| Heard { node: NodeId(n), sequence: 70_000 + n }).collect(),
        ..Default::default()
    };
    let record = |bytes: usize| WireRecord {
        height: Height(120_001),
        epoch: Epoch(17),
        bytes: Bytes::from(vec![0x5A; bytes]),
    };
    let append = |count: usize, bytes: usize| Append {
        epoch: Epoch(17),
        start: LogIndex(900_000),
        released: LogIndex(899_999),
        records: vec![record(bytes); count],
        ..Default::default()
    };
    let block =
        BlockPush { height: Height(120_001), block: Bytes::from(vec![0x5A; 64 << 10]), ..Default::default() };
    let case = |name, packet, keepalive| Case { name, packet, keepalive };
    vec![
        case("MasterKeepalive", master.into(), true),
        case("NodeKeepalive, nobody heard", node(0).into(), true),
        case("NodeKeepalive, 2 heard", node(2).into(), false),
        case("NodeKeepalive, 63 heard", node(63).into(), false),
        case("Append, 8 records of 256 bytes", append(8, 256).into(), false),
        case("Append, 1,000 records of 40 bytes", append(1_000, 40).into(), false),
        case("BlockPush, 64 KiB", block.into(), false),
    ]
}

/// What was measured of one packet.
#[derive(Serialize)]
struct Row {
    packet: &'static str,
    body_bytes: usize,
    decode_ns: Summary,
    encode_ns: Summary,
    slicing_decode_ns: Summary,
    slicing_encode_ns: Summary,
    /// Of the medians, decoding and encoding together.
    ratio: f64,
    decode_allocations: u64,
    encode_allocations: u64,
    slicing_decode_allocations: u64,
    /// The largest ratio allowed, if one is.
    max_ratio: Option<f64>,
}

impl Row {
    /// A keepalive allocates nothing and is as fast as asked.
    fn holds(&self) -> bool {
        let free = self.decode_allocations == 0 && self.encode_allocations == 0;
        self.max_ratio.is_none_or(|max| free && self.ratio <= max)
    }
}

#[derive(Serialize)]
struct Report {
    measurement: &'static str,
    unit: &'static str,
    samples: u32,
    rows: Vec<Row>,
    /// Of which instructions this program was built.
    build: &'static str,
    crypto: Vec<crypto::Cost>,
    holds: bool,
}

/// Measures all cases, prints them, and says whether the targets are met.
pub(crate) fn run(options: &Options) -> ExitCode {
    let rows: Vec<Row> = cases().iter().map(|case| measure_case(case, options.samples)).collect();
    let holds = rows.iter().all(Row::holds);
    let (build, crypto) = (crypto::build(), crypto::costs());
    let (measurement, unit) = ("codec", "ns per packet");
    let report = Report { measurement, unit, samples: options.samples, rows, build, crypto, holds };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("numbers and text become JSON"));
    } else {
        print(&report);
    }
    ExitCode::from(u8::from(!holds))
}

fn measure_case(case: &Case, samples: u32) -> Row {
    let code = case.packet.packet_type().code();
    let mut body = BytesMut::new();
    case.packet.encode(&mut body);
    let peer = Peer::decode(code, &body).expect("the peer reads what the codec wrote");
    let mut again = Vec::new();
    peer.encode(&mut again);
    assert_eq!(again, &body[..], "the peer writes the same bytes");

    let decode = || drop(black_box(Packet::decode(black_box(code), black_box(&body))));
    let slice_decode = || drop(black_box(Peer::decode(black_box(code), black_box(&body))));
    let mut out = BytesMut::with_capacity(body.len());
    let mut encode = || {
        out.clear();
        black_box(&case.packet).encode(&mut out);
        black_box(&out);
    };
    let mut plain = Vec::with_capacity(body.len());
    let mut slice_encode = || {
        plain.clear();
        black_box(&peer).encode(&mut plain);
        black_box(&plain);
    };
    let decode_allocations = measure(decode).count_total;
    let encode_allocations = measure(&mut encode).count_total;
    let slicing_decode_allocations = measure(slice_decode).count_total;

    let repetitions = u32::try_from(200_000 / (body.len() + 100)).unwrap_or(1).max(8);
    let mut taken: [Vec<f64>; 4] = Default::default();
    // The first samples warm caches up and are dropped.
    for sample in 0..samples + 10 {
        let times = [
            time(repetitions, decode),
            time(repetitions, &mut encode),
            time(repetitions, slice_decode),
            time(repetitions, &mut slice_encode),
        ];
        if sample >= 10 {
            taken.iter_mut().zip(times).for_each(|(list, time)| list.push(time));
        }
    }
    let [decode_ns, encode_ns, slicing_decode_ns, slicing_encode_ns] =
        taken.map(|samples| Summary::of(samples).expect("there are samples"));
    let ours = decode_ns.median + encode_ns.median;
    Row {
        packet: case.name,
        body_bytes: body.len(),
        decode_ns,
        encode_ns,
        slicing_decode_ns,
        slicing_encode_ns,
        ratio: ours / (slicing_decode_ns.median + slicing_encode_ns.median),
        decode_allocations,
        encode_allocations,
        slicing_decode_allocations,
        max_ratio: case.keepalive.then_some(MAX_RATIO),
    }
}

/// Nanoseconds of one call, over so many in a row.
fn time(repetitions: u32, mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..repetitions {
        call();
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(repetitions)
}

fn print(report: &Report) {
    println!(
        "{:<36}{:>8}{:>34}{:>34}{:>8}{:>8}",
        "packet", "bytes", "decode ns: min med p95 p99", "encode ns: min med p95 p99", "ratio", "allocs"
    );
    for row in &report.rows {
        let four = |s: &Summary| format!("{:.1} {:.1} {:.1} {:.1}", s.min, s.median, s.p95, s.p99);
        let allocations = format!("{}+{}", row.decode_allocations, row.encode_allocations);
        println!(
            "{:<36}{:>8}{:>34}{:>34}{:>8.2}{:>8}",
            row.packet,
            row.body_bytes,
            four(&row.decode_ns),
            four(&row.encode_ns),
            row.ratio,
            allocations
        );
        println!(
            "{:<36}{:>8}{:>34}{:>34}{:>8}{:>8}",
            "  by slicing",
            "",
            four(&row.slicing_decode_ns),
            four(&row.slicing_encode_ns),
            "",
            row.slicing_decode_allocations
        );
    }
    println!("crypto, {} build:", report.build);
    report.crypto.iter().for_each(crypto::Cost::print);
    let verdict = if report.holds { "the target holds" } else { "THE TARGET IS MISSED" };
    println!("{verdict}: keepalives at most {MAX_RATIO} times slicing at the median, without allocations");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn the_peer_reads_and_writes_what_the_codec_does() {
        for case in cases() {
            let mut body = BytesMut::new();
            case.packet.encode(&mut body);
            let mut again = Vec::new();
            let peer = Peer::decode(case.packet.packet_type().code(), &body);
            peer.expect("what the codec wrote").encode(&mut again);
            assert_eq!(again, &body[..], "{}", case.name);
        }
    }

    #[test]
    fn a_keepalive_is_read_and_written_without_an_allocation() {
        for case in cases().iter().filter(|case| case.keepalive) {
            let row = measure_case(case, 20);
            assert_eq!((row.decode_allocations, row.encode_allocations), (0, 0), "{}", row.packet);
        }
    }

    #[test]
    fn the_peer_refuses_what_the_codec_refuses() {
        for case in cases() {
            let code = case.packet.packet_type().code();
            let mut body = BytesMut::new();
            case.packet.encode(&mut body);
            body.truncate(100);
            let unknown = [&body[..], &[0x0A, 0x0A, 0, 1, 7]].concat();
            let critical = [&body[..], &[0x8A, 0x0A, 0, 1, 7]].concat();
            let mut inputs = vec![unknown, critical];
            inputs.extend((0..body.len()).map(|length| body[..length].to_vec()));
            for at in 0..body.len() {
                for value in [0, 1, 2, 3, 6, 254, 255] {
                    let mut changed = body.to_vec();
                    changed[at] = value;
                    inputs.push(changed);
                }
            }
            for input in inputs {
                let (ours, theirs) = (Packet::decode(code, &input), Peer::decode(code, &input));
                assert_eq!(ours.is_ok(), theirs.is_some(), "{}: {input:02x?}: {ours:?}", case.name);
            }
        }
    }
}
