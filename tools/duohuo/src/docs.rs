//! `duohuo docs`: writes the man pages and the completions of this very command, for the package. What it writes is
//! checked in under `tools/package`; a test holds the two together.

use crate::failure::Failure;
use clap::{Args, Command};
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write the man pages and completions
#[derive(Args, Debug)]
pub(crate) struct DocsArgs {
    /// Where they go
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
}

pub(crate) fn run(args: &DocsArgs, command: Command) -> Result<ExitCode, Failure> {
    write(&args.dir, command).map_err(|e| {
        Failure::failed(format!("{}: {e}; expected a writable directory", args.dir.display()))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write(dir: &Path, command: Command) -> std::io::Result<()> {
    let (man, completions) = (dir.join("man"), dir.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(without_help(command.clone()), &man)?;
    let mut command = command;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "duohuo", &completions)?;
    }
    Ok(())
}

/// A page about `help` helps nobody.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}
