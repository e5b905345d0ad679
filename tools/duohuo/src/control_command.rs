//! `duohuo control`: speak to a process on this machine over its control socket. The kernel tells it who speaks.

use crate::failure::{EXIT_HELP, FAILED, Failure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The answer comes from the loop, which reads files for a reload.
const PATIENCE: Duration = Duration::from_secs(5);

/// Speak to a node or the authority on this machine: read its files again, stop it, hold a drill; it logs who and why
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct ControlArgs {
    #[command(subcommand)]
    what: What,
    /// The process's configuration, which names control.socket
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// The socket itself, for who may not read the configuration
    #[arg(long, global = true, value_name = "FILE")]
    socket: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Who it is, its role and epoch, and whether it acts; changes nothing
    #[command(after_help = EXIT_HELP)]
    State,
    /// Read its configuration and the roster again, as SIGHUP; fails if they cannot be used
    #[command(after_help = EXIT_HELP)]
    Reload(Why),
    /// Stop it in good order, as SIGTERM: a master resigns
    #[command(after_help = EXIT_HELP)]
    Stop(Why),
    /// A drill: compute wrong results from now on, or no longer; where its configuration allows drills
    #[command(after_help = EXIT_HELP)]
    WrongResults {
        /// on or off
        #[arg(value_parser = ["on", "off"])]
        on: String,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Args, Debug)]
struct Why {
    /// Why; it stands in the log of the process with who you are, at most 255 bytes
    #[arg(long, value_name = "TEXT")]
    why: String,
}

pub(crate) fn run(args: &ControlArgs) -> Result<ExitCode, Failure> {
    let path = match (&args.socket, &args.config) {
        (Some(socket), _) => socket.clone(),
        (None, Some(config)) => named_in(config)?,
        (None, None) => return Err(Failure::invalid("expected --config FILE or --socket FILE")),
    };
    let question = match &args.what {
        What::State => json!({ "do": "state" }),
        What::Reload(Why { why }) => json!({ "do": "reload", "why": why }),
        What::Stop(Why { why }) => json!({ "do": "stop", "why": why }),
        What::WrongResults { on, why: Why { why } } => {
            json!({ "do": "wrong_results", "on": on == "on", "why": why })
        }
    };
    let answer = ask(&path, &question).map_err(|e| {
        Failure::unreachable(format!("{}: {e}; is the process running, with [control]?", path.display()))
    })?;
    let value: Value = serde_json::from_str(&answer)
        .map_err(|_| Failure::failed(format!("{}: the answer is no JSON: {answer:?}", path.display())))?;
    let word = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    if value.get("ok") == Some(&Value::Bool(true)) {
        println!("{}", if matches!(args.what, What::State) { answer.trim_end() } else { word("answer") });
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("duohuo: {}: {}: {}", path.display(), word("answer"), word("about"));
    Ok(ExitCode::from(FAILED))
}

/// Without the rest of the file, which may name what its reader may not read.
fn named_in(config: &Path) -> Result<PathBuf, Failure> {
    let text = std::fs::read_to_string(config).map_err(|e| {
        Failure::invalid(format!("{}: {e}; expected a readable configuration", config.display()))
    })?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|e| Failure::invalid(format!("{}: {}", config.display(), e.message())))?;
    let socket = table.get("control").and_then(|control| control.get("socket")?.as_str());
    let socket = socket.ok_or_else(|| {
        Failure::invalid(format!(
            "{}: control.socket is not there; expected the path of a socket: add it, and start the process again",
            config.display()
        ))
    })?;
    Ok(duohuo_driver::config::beside(config, Path::new(socket)))
}

fn ask(path: &Path, question: &Value) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // an error: it hung up already, and has said why
    let _ = stream.write_all(format!("{question}\n").as_bytes());
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it hung up without an answer"));
    }
    Ok(line)
}
