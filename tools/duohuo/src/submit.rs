//! `duohuo submit`: one transfer, until it is answered. Submitting again with the same id is harmless.

use crate::access::{Access, AccessArgs, Server, ask_status};
use crate::failure::{EXIT_HELP, FAILED, Failure};
use clap::Args;
use duohuo_chain::Transfer;
use duohuo_core::chain::TransactionId;
use duohuo_driver::keys;
use duohuo_wire::ids::Height;
use duohuo_wire::packet::{Packet, Submit, SubmitAnswer, SubmitVerdict};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Submit a transfer and wait until it is committed; submitting it again under the same id is harmless
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// The account that pays
    #[arg(long, value_name = "ACCOUNT")]
    from: u32,
    /// The account that is paid
    #[arg(long, value_name = "ACCOUNT")]
    to: u32,
    /// How much, in the ledger's smallest unit
    #[arg(long, value_name = "UNITS")]
    amount: u64,
    /// The transfer's id, 32 hex digits; the same id is carried out at most once [default: random]
    #[arg(long, value_name = "HEX", value_parser = transfer_id)]
    id: Option<[u8; 16]>,
    /// Blocks from now in which the transfer may be committed, 1..=1000
    #[arg(long, value_name = "BLOCKS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=1000))]
    valid_for: u64,
    /// Seconds to wait in all
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one node may take to answer before another is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

fn transfer_id(text: &str) -> Result<[u8; 16], String> {
    keys::parse_hex(text).ok_or_else(|| "expected 32 hex digits".into())
}

pub(crate) fn run(args: &SubmitArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let id = args.id.unwrap_or_else(|| keys::random().first_chunk::<16>().copied().unwrap_or_default());
    println!("transfer {}", keys::hex(&id));
    let until = Instant::now() + Duration::from_secs(args.timeout);
    let mut servers: VecDeque<Server> = access.nodes().into();
    let mut transfer = None;
    let mut last = String::from("no node answered");
    while Instant::now() < until {
        let Some(server) = servers.pop_front() else { break };
        servers.push_back(server);
        match submit_to(&access, &server, args, id, &mut transfer) {
            Ok(answer) => match answer.verdict {
                SubmitVerdict::Committed => {
                    println!("committed at height {}", answer.height.0);
                    return Ok(ExitCode::SUCCESS);
                }
                SubmitVerdict::Refused => {
                    println!(
                        "committed at height {} without effect: account {} does not hold {}",
                        answer.height.0, args.from, args.amount
                    );
                    return Ok(ExitCode::from(FAILED));
                }
                SubmitVerdict::Malformed => {
                    return Err(Failure::failed(
                        "the node calls the transfer malformed: check --from, --to and --amount",
                    ));
                }
                SubmitVerdict::Expired => {
                    return Err(Failure::failed(
                        "the transfer expired before it was committed: submit it under a new id",
                    ));
                }
                SubmitVerdict::TryLater => last = format!("{}: its pool is full", server.address),
                SubmitVerdict::NotMaster => {
                    last = format!("{} is not master", server.address);
                    // go where it points to, next
                    if let Some(at) = answer.master
                        && let Some(position) = servers.iter().position(|s| s.address == at)
                        && let Some(master) = servers.remove(position)
                    {
                        servers.push_front(master);
                    }
                }
            },
            Err(why) => last = why,
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failure::unreachable(format!(
        "no answer within {} s (last: {last}); it may still be committed: submit again with --id {} to be sure",
        args.timeout,
        keys::hex(&id)
    )))
}

fn submit_to(
    access: &Access,
    server: &Server,
    args: &SubmitArgs,
    id: [u8; 16],
    transfer: &mut Option<Transfer>,
) -> Result<SubmitAnswer, String> {
    let mut client = access.connect(server, CONNECT_TIMEOUT).map_err(|e| e.to_string())?;
    let transfer = match transfer {
        Some(transfer) => *transfer,
        None => {
            let report = ask_status(&mut client, CONNECT_TIMEOUT).map_err(|e| e.to_string())?;
            let valid_until = Height(report.height.0.saturating_add(args.valid_for));
            *transfer.insert(Transfer {
                id: TransactionId(id),
                from: args.from,
                to: args.to,
                amount: args.amount,
                valid_until,
            })
        }
    };
    let mut bytes = Vec::new();
    transfer.encode(&mut bytes);
    let packet = Packet::from(Submit { request: 7, transaction: bytes.into(), ..Default::default() });
    client.send(&packet).map_err(|e| e.to_string())?;
    let until = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < until {
        if let Some(Packet::SubmitAnswer(answer)) =
            client.recv(until.saturating_duration_since(Instant::now())).map_err(|e| e.to_string())?
            && answer.request == 7
        {
            return Ok(answer);
        }
    }
    Err(format!("{}: no answer within {} s", server.address, ANSWER_TIMEOUT.as_secs()))
}
