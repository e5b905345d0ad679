//! `duohuo submit`: one transfer, until it is answered. Submitting again with the same id is harmless.

use crate::access::{Access, AccessArgs};
use crate::failure::{EXIT_HELP, FAILED, Failure};
use clap::Args;
use duohuo_chain::Transfer;
use duohuo_client::{ClientFailure, Network};
use duohuo_core::chain::TransactionId;
use duohuo_driver::keys;
use duohuo_wire::ids::Height;
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

fn transfer_id(text: &str) -> Result<[u8; 16], String> {
    keys::parse_hex(text).ok_or_else(|| "expected 32 hex digits".into())
}

pub(crate) fn run(args: &SubmitArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let id = args.id.unwrap_or_else(|| keys::random().first_chunk::<16>().copied().unwrap_or_default());
    println!("transfer {}", keys::hex(&id));
    let until = Instant::now() + Duration::from_secs(args.timeout);
    let mut network: Network = Network::new(access.roster, access.credentials);
    let again = |why: &dyn std::fmt::Display| {
        Failure::unreachable(format!(
            "no answer within {} s ({why}); it may still be committed: submit again with --id {} to be sure",
            args.timeout,
            keys::hex(&id)
        ))
    };
    let left = || until.saturating_duration_since(Instant::now());
    // Any account will do: the answer says how high the chain is.
    let account = bytes::Bytes::copy_from_slice(&args.from.to_be_bytes());
    let state = network.ask(account, left()).map_err(|why| again(&why))?;
    let transfer = Transfer {
        id: TransactionId(id),
        from: args.from,
        to: args.to,
        amount: args.amount,
        valid_until: Height(state.height.0.saturating_add(args.valid_for)),
    };
    match network.commit(transfer, left()) {
        Ok(receipt) => {
            let signers = receipt.block.certificate.signatures.len();
            let carried_out = &receipt.transaction;
            let parties = (carried_out.from, carried_out.to, carried_out.amount);
            if parties != (args.from, args.to, args.amount) {
                let (from, to, amount) = parties;
                return Err(Failure::failed(format!(
                    "another transfer of this id was committed at height {}: {amount} from account {from} to {to}; \
                     submit this one under a new id",
                    receipt.height.0
                )));
            }
            let place =
                format!("height {}, place {}, signed by {signers} clusters", receipt.height.0, receipt.index);
            if receipt.applied {
                println!("committed at {place}");
                return Ok(ExitCode::SUCCESS);
            }
            println!(
                "committed at {place}, without effect: account {} does not hold {}",
                args.from, args.amount
            );
            Ok(ExitCode::from(FAILED))
        }
        Err(ClientFailure::Malformed) => {
            Err(Failure::failed("the node calls the transfer malformed: check --from, --to and --amount"))
        }
        Err(ClientFailure::Expired) => {
            Err(Failure::failed("the transfer expired before it was committed: submit it under a new id"))
        }
        Err(why @ (ClientFailure::TimedOut { .. } | ClientFailure::OldRoster { .. })) => Err(again(&why)),
    }
}
