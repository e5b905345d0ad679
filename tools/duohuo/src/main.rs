//! The `duohuo` command: runs the authority and nodes, shows and uses a network, makes its keys, reads its packets,
//! and demonstrates it.

mod config_command;
mod control_command;
mod decode;
mod demo;
mod docs;
mod drill;
mod failure;
mod history;
mod keeper;
mod keygen;
mod layout_command;
mod ledger;
mod local_acts;
mod look;
mod moment;
mod orders;
mod page;
mod progress;
mod roster_command;
mod setup_command;
mod spoken;
mod status;
mod store_command;
mod submit;
mod takeovers;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use duohuo_driver::DriverError;
use duohuo_driver::board::Board;
use duohuo_driver::config::{
    AuthoritySettings, ConfigError, LogFormat, LogLevel, LogSettings, NodeSettings, log_settings,
};
use duohuo_driver::config_keys::Process;
use duohuo_driver::event_loop::Exit;
use duohuo_driver::hooks::keeper as hooks_keeper;
use duohuo_driver::live::{Live, Switches};
use duohuo_driver::start::{Around, run_authority, run_node};
use duohuo_driver::store::OpenMode;
use duohuo_rig::{access, layout, network};
use failure::{EXIT_HELP, Failure};
use page::Page;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, reload};

/// Blockchain multi-active high availability: clusters of nodes, spread over rooms, that act as one chain member each
#[derive(Parser, Debug)]
#[command(name = "duohuo", version, max_term_width = 100, after_help = EXIT_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the authority: it decides which node of each cluster may act, and forgets no decision
    #[command(after_help = PROCESS_HELP)]
    Authority(ProcessArgs),
    /// Run a node: a member of a cluster, which follows, stands by or acts for it
    #[command(after_help = PROCESS_HELP)]
    Node(ProcessArgs),
    /// Run the programs of a node's hooks: started by the node itself, which speaks to it
    #[command(hide = true)]
    Keeper(KeeperArgs),
    Demo(demo::DemoArgs),
    Status(status::StatusArgs),
    Neighbours(look::NeighboursArgs),
    Watch(look::WatchArgs),
    Wait(look::WaitArgs),
    Check(look::CheckArgs),
    Config(config_command::ConfigArgs),
    Control(control_command::ControlArgs),
    Submit(submit::SubmitArgs),
    Ledger(ledger::LedgerArgs),
    History(history::HistoryArgs),
    Drill(drill::DrillArgs),
    Switchover(orders::SwitchoverArgs),
    Failover(orders::FailoverArgs),
    Unbar(orders::UnbarArgs),
    Pause(orders::PauseArgs),
    Resume(orders::ResumeArgs),
    Keygen(keygen::KeygenArgs),
    Layout(layout_command::LayoutArgs),
    Roster(roster_command::RosterArgs),
    Setup(setup_command::SetupArgs),
    Store(store_command::StoreArgs),
    #[command(hide = true)]
    Docs(docs::DocsArgs),
    Decode(decode::DecodeArgs),
}

#[derive(Args, Debug)]
struct ProcessArgs {
    /// Its configuration file, as keygen network writes it; paths in it are relative to it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Very first start: make the store; refused if there is one already
    #[arg(long)]
    init: bool,
    /// Exit when standard input ends: for a parent that wants its children gone with it
    #[arg(long, hide = true)]
    exit_with_parent: bool,
    /// For tests only: append the keys of all sessions to this file, so that captures can be read
    #[cfg(feature = "key-log")]
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct KeeperArgs {
    /// As in `[log]` of the node's configuration
    #[arg(long)]
    json: bool,
}

const PROCESS_HELP: &str = "Signals: SIGTERM and SIGINT stop it in good order; SIGHUP makes it read the configuration and the roster again (duohuo config show --effective says what can change live); SIGUSR1 starts or ends a drill of \
wrong results, where the configuration of a node allows one.\n\nExit status: 0 stopped by a signal; 1 cannot start or go on (the log says why and what to do); 2 wrong usage; \
4 a configuration, key or roster file is invalid";

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Authority(args) => process(&args, |args, log| {
            #[allow(unused_mut, reason = "changed with the feature key-log alone")]
            let mut settings = AuthoritySettings::read(&args.config)?;
            #[cfg(feature = "key-log")]
            settings.key_log.clone_from(&args.key_log);
            let around = around(args, Process::Authority, settings.http, log)?;
            Ok(run_authority(settings, mode(args), around)?)
        }),
        Command::Node(args) => process(&args, |args, log| {
            #[allow(unused_mut, reason = "changed with the feature key-log alone")]
            let mut settings = NodeSettings::read(&args.config)?;
            #[cfg(feature = "key-log")]
            settings.key_log.clone_from(&args.key_log);
            let around = around(args, Process::Node, settings.http, log)?;
            Ok(run_node(settings, mode(args), around)?)
        }),
        Command::Keeper(args) => run_keeper(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Neighbours(args) => look::neighbours(&args),
        Command::Watch(args) => look::watch(&args),
        Command::Wait(args) => look::wait(&args),
        Command::Check(args) => look::check(&args),
        Command::Config(args) => config_command::run(&args),
        Command::Control(args) => control_command::run(&args),
        Command::Submit(args) => submit::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::History(args) => history::run(&args),
        Command::Drill(args) => drill::run(&args),
        Command::Switchover(args) => orders::switchover(&args),
        Command::Failover(args) => orders::failover(&args),
        Command::Unbar(args) => orders::unbar(&args),
        Command::Pause(args) => orders::pause(&args),
        Command::Resume(args) => orders::resume(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Layout(args) => layout_command::run(&args),
        Command::Roster(args) => roster_command::run(&args),
        Command::Setup(args) => setup_command::run(&args),
        Command::Store(args) => store_command::run(&args),
        Command::Docs(args) => docs::run(&args, Cli::command()),
        Command::Decode(args) => decode::run(&args),
    };
    done.unwrap_or_else(|why| {
        eprintln!("duohuo: {why}");
        why.status()
    })
}

fn run_keeper(args: &KeeperArgs) -> Result<ExitCode, Failure> {
    let format = if args.json { LogFormat::Json } else { LogFormat::Plain };
    start_log(LogSettings { format, level: LogLevel::Info });
    hooks_keeper::run(std::io::stdin(), std::io::stdout())
        .map_err(|e| Failure::failed(format!("keeper: {e}")))?;
    Ok(ExitCode::SUCCESS)
}

fn process(
    args: &ProcessArgs,
    run: impl FnOnce(&ProcessArgs, LogControl) -> Result<Exit, NotRun>,
) -> Result<ExitCode, Failure> {
    let log = start_log(log_settings(&args.config));
    if args.exit_with_parent {
        std::thread::spawn(|| {
            // read until the parent's end closes
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    let ended = run(args, log);
    keeper::stopping();
    match ended {
        Ok(Exit::Stopped) => Ok(ExitCode::SUCCESS),
        // the log has said why
        Ok(Exit::Failed) => Ok(ExitCode::from(failure::FAILED)),
        Err(NotRun::Driver(e)) => {
            tracing::error!("{e}");
            Ok(Failure::from(e).status())
        }
        Err(NotRun::Around(why)) => {
            tracing::error!("{why}");
            Ok(ExitCode::from(failure::FAILED))
        }
    }
}

/// Why a process does not run.
enum NotRun {
    Driver(DriverError),
    /// What stands around it could not begin.
    Around(String),
}

impl From<DriverError> for NotRun {
    fn from(e: DriverError) -> Self {
        Self::Driver(e)
    }
}

impl From<ConfigError> for NotRun {
    fn from(e: ConfigError) -> Self {
        Self::Driver(e.into())
    }
}

/// The page, the keeper, and what SIGHUP reads again.
fn around(
    args: &ProcessArgs,
    process: Process,
    http: Option<SocketAddr>,
    log: LogControl,
) -> Result<Around, NotRun> {
    let board = Board::default();
    let mut page = Page::new(board.clone());
    page.serve_at(http).map_err(NotRun::Around)?;
    keeper::start(board.clone());
    let switches = Switches {
        log: Box::new(move |settings| log.set(settings)),
        http: Box::new(move |listen| page.serve_at(listen)),
    };
    let live = Live::new(args.config.clone(), process, switches)?;
    Ok(Around { board: Some(board), live: Some(live) })
}

fn mode(args: &ProcessArgs) -> OpenMode {
    if args.init { OpenMode::Create } else { OpenMode::Existing }
}

/// Lines of one form or the other.
type Lines = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Changes the level and the form of the log.
struct LogControl {
    targets: reload::Handle<Targets, Registry>,
    lines: reload::Handle<Lines, Registry>,
}

impl LogControl {
    fn set(&self, settings: LogSettings) {
        // an error: the log is gone, with the process
        let _ = self.lines.reload(lines(settings.format));
        let _ = self.targets.reload(targets(settings.level));
    }
}

fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    // Libraries below us tell every message they handle: only their warnings are for an operator. The consensus core warns of each
    // word that a peer said wrong, as often as it likes to: those are counted, and shown to who watches.
    Targets::new()
        .with_target("duohuo", level)
        .with_target("arc_malachitebft", level.min(tracing::Level::ERROR))
        .with_default(level.min(tracing::Level::WARN))
}

fn lines(format: LogFormat) -> Lines {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Plain => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().boxed(),
    }
}

fn start_log(settings: LogSettings) -> LogControl {
    let (ours, targets) = reload::Layer::new(targets(settings.level));
    let (lines, form) = reload::Layer::new(lines(settings.format));
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
    LogControl { targets, lines: form }
}
