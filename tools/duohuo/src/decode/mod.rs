//! `duohuo decode`: packets as names and values, from hexadecimal text, from files and from captures.

mod capture;
mod packet;
mod reassembly;
#[cfg(test)]
mod tests;

use crate::failure::{FAILED, Failure};
use capture::{Frame, Kind};
use clap::Args;
use duohuo_wire::error::DecodeError;
use duohuo_wire::header::MAX_FRAME;
use duohuo_wire::key_log::KeyLog;
use duohuo_wire::show::Value;
use duohuo_wire::stream::FrameReader;
use packet::{Content, Decoded, Limit, decode};
use reassembly::{Direction, Piece};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show packets with the names of the specification: from hexadecimal text, a file or a capture
#[derive(Args, Debug)]
#[command(after_help = DECODE_HELP)]
pub(crate) struct DecodeArgs {
    /// A packet in hexadecimal, header to CRC; blanks, colons and newlines are ignored [default: standard input, if no file is named]
    #[arg(value_name = "HEX", conflicts_with = "file")]
    hex: Option<String>,
    /// A pcap or pcapng capture, or a file with the bytes of a packet, as they are or in hexadecimal
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Open sealed packets with the keys of this file, as tools/wireshark/README.md describes it
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
    /// What bytes that are no capture are
    #[arg(long = "as", value_name = "WHAT", value_enum, default_value_t = Form::Packet)]
    form: Form,
    /// Print one JSON object per packet
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Form {
    /// One packet, of a datagram or a stream
    Packet,
    /// One datagram, of 1200 bytes at most
    Datagram,
    /// What a stream brought: packets, one after the other
    Stream,
}

const DECODE_HELP: &str = "Signatures, windows and handshakes are not checked: what is shown as good can still be a repetition, or not be meant for its \
receiver.\n\nExit status: 0 all packets were read, or are sealed and the key log has no key for them; 1 a packet is refused, or there is none; \
2 wrong usage; 4 the input or the key log cannot be read";

/// Where a packet was found.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    at_unix_us: u64,
    source: SocketAddr,
    destination: SocketAddr,
    transport: &'static str,
}

pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, Failure> {
    let keys = args.key_log.as_deref().map(read_keys).transpose()?.unwrap_or_default();
    let bytes = match (&args.hex, &args.file) {
        (Some(text), _) => from_hex(text, "the argument")?,
        (None, Some(path)) => read_file(path)?,
        (None, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|e| {
                Failure::invalid(format!("standard input: {e}; expected a packet in hexadecimal"))
            })?;
            from_hex(&text, "standard input")?
        }
    };
    let mut printer = Printer { json: args.json, packets: 0, refused: 0, out: std::io::stdout().lock() };
    let damage = if args.file.is_some() && capture::is_capture(&bytes) {
        let (frames, outcome) = capture::read(&bytes);
        decode_capture(&frames, &keys, &mut printer);
        outcome.err()
    } else {
        let bytes = match &args.file {
            Some(path) => file_bytes(bytes, path)?,
            None => bytes,
        };
        decode_bytes(&bytes, args.form, &keys, &mut printer);
        None
    };
    if let Some(why) = damage {
        let path = args.file.as_deref().unwrap_or(Path::new("")).display();
        return Err(Failure::invalid(format!(
            "{path}: {why}; expected a whole capture: what could be read is printed"
        )));
    }
    if printer.packets == 0 {
        return Err(Failure::failed(
            "no packet of this protocol is in it; expected bytes that begin with 44554f48 (\"DUOH\")",
        ));
    }
    Ok(if printer.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| {
        Failure::invalid(format!(
            "{}: {e}; expected a readable capture (pcap, pcapng) or a file with a packet, its bytes or hexadecimal",
            path.display()
        ))
    })
}

fn read_keys(path: &Path) -> Result<KeyLog, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::invalid(format!("{}: {e}; expected a readable key log", path.display())))?;
    KeyLog::parse(&text).map_err(|e| Failure::invalid(format!("{}: {e}", path.display())))
}

/// What stands in a file without being a capture: bytes, or hexadecimal text of them. No packet is such a text: it begins
/// with `DUOH`.
fn file_bytes(bytes: Vec<u8>, path: &Path) -> Result<Vec<u8>, Failure> {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace() || *byte == b':';
    match std::str::from_utf8(&bytes) {
        Ok(text) if !bytes.is_empty() && bytes.iter().all(is_digit) => {
            from_hex(text, &path.display().to_string())
        }
        Ok(_) | Err(_) => Ok(bytes),
    }
}

/// Blanks and colons between the digits do not count.
fn from_hex(text: &str, origin: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<(usize, char)> =
        text.char_indices().filter(|(_, c)| !c.is_whitespace() && *c != ':').collect();
    let wrong = |at: usize, what: String| {
        Failure::invalid(format!(
            "{origin}: character {}: {what}; expected pairs of hexadecimal digits, as in 44554f48",
            at + 1
        ))
    };
    let value = |(at, c): &(usize, char)| {
        c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(|| wrong(*at, format!("{c:?}")))
    };
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks(2) {
        match pair {
            [high, low] => bytes.push(value(high)? << 4 | value(low)?),
            [last] => return Err(wrong(last.0, "a digit without its pair".to_owned())),
            _ => {}
        }
    }
    Ok(bytes)
}

fn decode_bytes(bytes: &[u8], form: Form, keys: &KeyLog, printer: &mut Printer<'_>) {
    match form {
        Form::Packet => printer.packet(None, &decode(bytes, Limit::Stream, keys)),
        Form::Datagram => printer.packet(None, &decode(bytes, Limit::Datagram, keys)),
        Form::Stream => {
            let mut reader = FrameReader::new(MAX_FRAME);
            reader.push(bytes);
            loop {
                match reader.next() {
                    Ok(Some(packet)) => printer.packet(None, &decode(&packet, Limit::Stream, keys)),
                    Ok(None) if reader.buffered() == 0 => return,
                    // the stream ends inside a packet
                    Ok(None) => {
                        return printer.packet(None, &refused(DecodeError::Truncated { field: "packet" }));
                    }
                    Err(why) => return printer.packet(None, &refused(why)),
                }
            }
        }
    }
}

fn refused(why: DecodeError) -> Decoded {
    Decoded { header: None, content: Content::Refused(why.into()) }
}

fn decode_capture(frames: &[Frame], keys: &KeyLog, printer: &mut Printer<'_>) {
    const MAGIC: &[u8] = b"DUOH";
    let mut streams: BTreeMap<(SocketAddr, SocketAddr), Direction> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for frame in frames {
        let at = |transport| Place {
            number: frame.number,
            at_unix_us: frame.at_unix_us,
            source: frame.source,
            destination: frame.destination,
            transport,
        };
        match frame.kind {
            Kind::Datagram if frame.payload.starts_with(MAGIC) => {
                printer.packet(Some(at("datagram")), &decode(&frame.payload, Limit::Datagram, keys));
            }
            Kind::Datagram => {}
            Kind::Segment { sequence, syn } => {
                let ends = (frame.source, frame.destination);
                let direction = streams.entry(ends).or_insert_with(Direction::new);
                let pieces = direction.push(frame.number, sequence, syn, &frame.payload);
                last.insert(ends, at("stream"));
                printer.pieces(at("stream"), pieces, keys);
            }
        }
    }
    for (ends, mut direction) in streams {
        if let Some(place) = last.get(&ends) {
            printer.pieces(*place, direction.finish(), keys);
        }
    }
}

struct Printer<'a> {
    json: bool,
    packets: usize,
    refused: usize,
    out: std::io::StdoutLock<'a>,
}

impl Printer<'_> {
    fn pieces(&mut self, place: Place, pieces: Vec<Piece>, keys: &KeyLog) {
        for piece in pieces {
            match piece {
                Piece::Packet(number, bytes) => {
                    self.packet(Some(Place { number, ..place }), &decode(&bytes, Limit::Stream, keys));
                }
                Piece::Broken(number, why) => self.packet(Some(Place { number, ..place }), &refused(why)),
                Piece::Gap(number, bytes) => eprintln!(
                    "duohuo: {} to {}: {bytes} bytes before frame {number} are not in the capture",
                    place.source, place.destination
                ),
            }
        }
    }

    fn packet(&mut self, place: Option<Place>, decoded: &Decoded) {
        self.packets += 1;
        self.refused += usize::from(matches!(decoded.content, Content::Refused(_)));
        // who closes the pipe wants no more
        let _ = if self.json { self.object(place, decoded) } else { self.lines(place, decoded) };
    }

    fn object(&mut self, place: Option<Place>, decoded: &Decoded) -> std::io::Result<()> {
        let mut shown = Vec::new();
        if let Some(place) = place {
            shown.extend([
                ("frame", Value::Number(u64::try_from(place.number).unwrap_or(0))),
                ("at_unix_us", Value::Text(place.at_unix_us.to_string())),
                ("source", Value::Text(place.source.to_string())),
                ("destination", Value::Text(place.destination.to_string())),
                ("transport", Value::text(place.transport)),
            ]);
        }
        shown.extend(decoded.show());
        writeln!(self.out, "{}", Value::Object(shown))
    }

    fn lines(&mut self, place: Option<Place>, decoded: &Decoded) -> std::io::Result<()> {
        let name = decoded.name().unwrap_or("packet");
        match place {
            Some(place) => writeln!(
                self.out,
                "{} {}.{:06} {} -> {} {} {name}",
                place.number,
                place.at_unix_us / 1_000_000,
                place.at_unix_us % 1_000_000,
                place.source,
                place.destination,
                place.transport
            )?,
            None => writeln!(self.out, "{name}")?,
        }
        for (part, value) in decoded.show() {
            match (part, value) {
                ("packet", _) => {}
                ("sealed", _) => writeln!(self.out, "    sealed, and the key log has no key for it")?,
                ("fields", value) => self.leaves("", &value)?,
                (part, value) => self.leaves(part, &value)?,
            }
        }
        Ok(())
    }

    /// One line a value, under its path.
    fn leaves(&mut self, path: &str, value: &Value) -> std::io::Result<()> {
        let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            Value::Object(pairs) => {
                pairs.iter().try_for_each(|(name, value)| self.leaves(&inner(name), value))
            }
            Value::List(items) if items.iter().any(|item| matches!(item, Value::Object(_))) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.leaves(&format!("{path}[{index}]"), item)),
            Value::Text(text) => writeln!(self.out, "    {path} = {}", text.escape_debug()),
            value => writeln!(self.out, "    {path} = {value}"),
        }
    }
}
