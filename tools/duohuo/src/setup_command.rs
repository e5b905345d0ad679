//! `duohuo setup`: a pack of the operator's becomes the configuration and the store of this machine's process.

use crate::failure::{EXIT_HELP, Failure};
use clap::Args;
use duohuo_driver::config::{AuthoritySettings, NodeSettings};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Set this machine up from a pack: its files go to /etc/duohuo, and the store is made; once in the life of a machine
#[derive(Args, Debug)]
#[command(after_help = format!("Run it as root: files and store then belong to the account of the daemons. It starts nothing. Whatever is wrong with the pack is told before anything is written.\n\n{EXIT_HELP}"))]
pub(crate) struct SetupArgs {
    /// What keygen network --pack or roster pack made for this machine
    #[arg(value_name = "DIRECTORY")]
    pack: PathBuf,
    /// Where it goes
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/duohuo")]
    into: PathBuf,
    /// Whose files and store are to be; ignored unless run as root
    #[arg(long, value_name = "NAME", default_value = "duohuo")]
    account: String,
}

/// A user and its group, by number.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

pub(crate) fn run(args: &SetupArgs) -> Result<ExitCode, Failure> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && args.into == Path::new("/etc/duohuo") {
        return Err(Failure::failed(format!(
            "setup puts files into /etc/duohuo and gives them to the account {}; expected root: sudo duohuo setup {}",
            args.account,
            args.pack.display()
        )));
    }
    let kind = kind(&args.pack)?;
    let config = args.into.join(format!("{kind}.toml"));
    let account = if is_root { Some(account(&args.account)?) } else { None };
    let files = files(&args.pack)?;
    if config.exists() {
        return Err(Failure::failed(format!(
            "{}: this machine is set up already; expected none there: to change a key or the roster, copy that file and reload or restart \
             (the guide, \"Growing, shrinking, keys\"); to begin anew after a lost disk, move {} away first",
            config.display(),
            args.into.display()
        )));
    }
    // read where it is: what is wrong with it is told before anything is written
    let pack_config = args.pack.join(format!("{kind}.toml"));
    let (address, store) = match kind {
        "node" => {
            let settings = NodeSettings::read(&pack_config)?;
            let entry = settings.roster.node(settings.node).map(|(_, node)| node.address);
            (entry, settings.store)
        }
        _ => {
            let settings = AuthoritySettings::read(&pack_config)?;
            (Some(settings.roster.authority.address), settings.store)
        }
    };
    address.map_or(Ok(()), |address| is_of_this_machine(address, &args.pack))?;
    if store.exists() {
        return Err(Failure::failed(format!(
            "{}: there is a store already; expected none: a process that has spoken starts with the store it has. For a machine whose disk was \
             lost: duohuo roster replace, and a new pack",
            store.display()
        )));
    }
    make_directory(&args.into, account)?;
    let made = files
        .iter()
        .try_for_each(|name| install(&args.pack.join(name), &args.into.join(name), account))
        .and_then(|()| make_store(&config, account));
    if made.is_err() {
        // copies, all of them: the next try finds what this one found
        files.iter().for_each(|name| drop(std::fs::remove_file(args.into.join(name))));
    }
    made?;
    println!(
        "{} files in {}, the store {}; now: systemctl enable --now duohuo-{kind}",
        files.len(),
        args.into.display(),
        store.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Whose pack it is.
fn kind(pack: &Path) -> Result<&'static str, Failure> {
    let has = |kind: &str| pack.join(format!("{kind}.toml")).exists();
    match (has("node"), has("authority")) {
        (true, false) => Ok("node"),
        (false, true) => Ok("authority"),
        (true, true) => Err(Failure::failed(format!(
            "{}: node.toml and authority.toml are in it; expected the pack of one machine: pack/NAME, not pack",
            pack.display()
        ))),
        (false, false) => Err(Failure::failed(format!(
            "{}: no node.toml and no authority.toml in it; expected what duohuo keygen network --pack made for this machine: bring pack/NAME here",
            pack.display()
        ))),
    }
}

fn files(pack: &Path) -> Result<Vec<String>, Failure> {
    let wrong = |e| Failure::failed(format!("{}: {e}; expected a readable directory", pack.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(pack).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if entry.file_type().map_err(wrong)?.is_file() {
            names.push(entry.file_name().display().to_string());
        }
    }
    names.sort();
    Ok(names)
}

/// An address that no interface has is that of another machine, most likely.
fn is_of_this_machine(address: SocketAddr, pack: &Path) -> Result<(), Failure> {
    match UdpSocket::bind(SocketAddr::new(address.ip(), 0)) {
        Err(e) if e.kind() == ErrorKind::AddrNotAvailable => Err(Failure::failed(format!(
            "{}: it is for the machine with the address {}, which no interface here has; expected this machine's pack: bring the right one, give \
             this machine the address, or correct the layout and make the network anew",
            pack.display(),
            address.ip()
        ))),
        _ => Ok(()),
    }
}

fn account(name: &str) -> Result<Account, Failure> {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.first() == Some(&name));
    let number = |at: usize| found.as_ref().and_then(|fields| fields.get(at)?.parse().ok());
    match (number(2), number(3)) {
        (Some(user), Some(group)) => Ok(Account { user, group }),
        _ => Err(Failure::failed(format!(
            "there is no account {name} on this machine; expected the one that the package makes: install the package first, or name another with --account"
        ))),
    }
}

fn make_directory(into: &Path, account: Option<Account>) -> Result<(), Failure> {
    if into.is_dir() {
        return Ok(());
    }
    let wrong =
        |e| Failure::failed(format!("{}: {e}; expected to be able to make it: run as root", into.display()));
    std::fs::create_dir_all(into).map_err(wrong)?;
    std::fs::set_permissions(into, std::fs::Permissions::from_mode(0o750)).map_err(wrong)?;
    own(into, account)
}

fn install(from: &Path, to: &Path, account: Option<Account>) -> Result<(), Failure> {
    let wrong =
        |e| Failure::failed(format!("{}: {e}; expected to be able to write it: run as root", to.display()));
    std::fs::copy(from, to).map_err(wrong)?;
    let mode = if to.extension().is_some_and(|e| e == "key") { 0o600 } else { 0o640 };
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).map_err(wrong)?;
    own(to, account)
}

fn own(path: &Path, account: Option<Account>) -> Result<(), Failure> {
    let Some(Account { user, group }) = account else { return Ok(()) };
    chown(path, Some(user), Some(group)).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))
}

/// By this program once more, as who will run it: what it makes is that account's, and what the account may not is found out now.
fn make_store(config: &Path, account: Option<Account>) -> Result<(), Failure> {
    let program =
        std::env::current_exe().map_err(|e| Failure::failed(format!("this program's own path: {e}")))?;
    let mut command = Command::new(program);
    let config = config.canonicalize().map_err(|e| Failure::failed(format!("{}: {e}", config.display())))?;
    command.args(["store", "init", "--config"]).arg(config);
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group).current_dir("/");
    }
    let made = command.output().map_err(|e| Failure::failed(format!("duohuo store init: {e}")))?;
    if made.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&made.stderr);
    Err(Failure::failed(told.trim_end().trim_start_matches("duohuo: ")))
}
