//! `duohuo ledger`: what stands in the ledger, and whether it is proven.

use crate::access::{Access, AccessArgs};
use crate::failure::{EXIT_HELP, FAILED, Failure};
use bytes::Bytes;
use clap::{Args, Subcommand};
use duohuo_chain::{Accounts, Block, CommittedBlock, EmbeddedConfig, EmbeddedOf, Genesis};
use duohuo_client::{Network, State};
use duohuo_core::Instant as CoreInstant;
use duohuo_core::chain::Chain;
use duohuo_core::store::{lowest_block, snapshots};
use duohuo_driver::client::ClientError;
use duohuo_driver::config::NodeSettings;
use duohuo_driver::keys;
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_wire::ids::{Epoch, Height};
use duohuo_wire::packet::{Packet, Query, QueryScope};
use duohuo_wire::sign::{self, SigningKey};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Show accounts and blocks, prove a store, write the chain out
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// What an account holds, as nodes of several clusters say
    Account {
        #[command(flatten)]
        access: AccessArgs,
        /// The account
        account: u32,
        #[command(flatten)]
        patience: Patience,
    },
    /// A committed block, after its certificate was verified
    Block {
        #[command(flatten)]
        access: AccessArgs,
        /// Its height
        height: u64,
        #[command(flatten)]
        patience: Patience,
    },
    /// Prove the store of a node that is stopped: from the genesis or from a proven snapshot, block by block, against the
    /// certificates and what the authority signed
    Verify {
        #[command(flatten)]
        access: AccessArgs,
        /// The configuration of the node whose store it is
        #[arg(long, value_name = "FILE")]
        node: PathBuf,
        #[command(flatten)]
        patience: Patience,
    },
    /// Write committed blocks as JSON, one a line, each verified
    Export {
        #[command(flatten)]
        access: AccessArgs,
        /// The first height
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// The last height [default: all there are]
        #[arg(long)]
        to: Option<u64>,
        #[command(flatten)]
        patience: Patience,
    },
}

#[derive(Args, Clone, Copy, Debug)]
struct Patience {
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Patience {
    fn span(self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

pub(crate) fn run(args: &LedgerArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Account { access, account, patience } => {
            show_account(&Access::open(access)?, *account, *patience)
        }
        What::Block { access, height, patience } => show_block(&Access::open(access)?, *height, *patience),
        What::Verify { access, node, patience } => {
            verify(&Access::open(access)?, &NodeSettings::read(node)?, *patience)
        }
        What::Export { access, from, to, patience } => export(&Access::open(access)?, *from, *to, *patience),
    }
}

fn unreachable(why: &impl std::fmt::Display) -> Failure {
    Failure::unreachable(why.to_string())
}

/// One node is no witness: f + 1 masters must say the same of the same height, so that one of them does not lie.
fn show_account(access: &Access, account: u32, patience: Patience) -> Result<ExitCode, Failure> {
    let until = Instant::now() + patience.span();
    let mut network: Network = Network::new(access.roster.clone(), access.credentials.clone());
    network.find_masters(patience.span()).map_err(|why| unreachable(&why))?;
    let needed = access.roster.clusters.len().saturating_sub(1) / 3 + 1;
    let mut said: BTreeMap<(Height, u64), usize> = BTreeMap::new();
    while Instant::now() < until {
        for (_, master) in network.trust().masters() {
            let question = Bytes::copy_from_slice(&account.to_be_bytes());
            let Ok(State { height, answer: Some(answer) }) =
                network.ask_node(master, question, patience.span())
            else {
                continue;
            };
            let Ok(balance) = <[u8; 8]>::try_from(&answer[..]).map(u64::from_be_bytes) else { continue };
            let count = said.entry((height, balance)).or_default();
            *count += 1;
            if *count >= needed {
                println!("account {account}: {balance}, after height {}, as {count} masters say", height.0);
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let told: Vec<String> = said.keys().map(|(h, balance)| format!("{balance} after {}", h.0)).collect();
    Err(Failure::unreachable(format!(
        "no {needed} masters said the same of one height (said: {}); the chain may be moving too fast: try again",
        told.join(", ")
    )))
}

fn show_block(access: &Access, height: u64, patience: Patience) -> Result<ExitCode, Failure> {
    let mut network: Network = Network::new(access.roster.clone(), access.credentials.clone());
    let found = network.block(Height(height), patience.span()).map_err(|why| unreachable(&why))?;
    let Some(committed) = found else {
        println!("no node that was asked has block {height}: it is not committed yet, or pruned");
        return Ok(ExitCode::from(FAILED));
    };
    println!("{}", as_json(&committed));
    Ok(ExitCode::SUCCESS)
}

fn export(access: &Access, from: u64, to: Option<u64>, patience: Patience) -> Result<ExitCode, Failure> {
    let mut network: Network = Network::new(access.roster.clone(), access.credentials.clone());
    let height =
        network.ask(Bytes::from_static(&[0; 4]), patience.span()).map_err(|why| unreachable(&why))?.height;
    let to = to.unwrap_or(height.0);
    network.subscribe(Height(from));
    let mut next = from.max(1);
    while next <= to {
        let Some((height, committed)) = network.next_block(patience.span()) else {
            return Err(Failure::unreachable(format!(
                "block {next} did not come within {} s: it is pruned, or not committed yet",
                patience.timeout
            )));
        };
        println!("{}", as_json(&committed));
        next = height.0 + 1;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(committed: &CommittedBlock) -> String {
    let certificate = &committed.certificate;
    let mut text = format!(
        "{{\"height\": {}, \"id\": \"{}\", \"round\": {}, \"signed_by\": [",
        certificate.height.0,
        keys::hex(&certificate.block),
        certificate.round
    );
    for (index, s) in certificate.signatures.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // writing to a string cannot fail
        let _ = write!(
            text,
            "{comma}{{\"cluster\": {}, \"epoch\": {}, \"node\": {}}}",
            s.cluster.0, s.epoch.0, s.node.0
        );
    }
    text.push(']');
    if let Some(block) = Block::decode(&committed.block) {
        let _ = write!(
            text,
            ", \"parent\": \"{}\", \"proposer\": {}, \"transfers\": [",
            keys::hex(&block.parent),
            block.proposer.0
        );
        for (index, t) in block.transactions.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(
                text,
                "{comma}{{\"id\": \"{}\", \"from\": {}, \"to\": {}, \"amount\": {}, \"valid_until\": {}}}",
                keys::hex(&t.id.0),
                t.from,
                t.to,
                t.amount,
                t.valid_until.0
            );
        }
        text.push(']');
    }
    text.push('}');
    text
}

/// Every grant that the authority signed, from whichever node tells.
fn grants(access: &Access, patience: Duration, chain: &mut dyn Chain) -> Result<usize, Failure> {
    let authority = sign::verifying_key(&access.roster.authority.signing_key)
        .ok_or_else(|| Failure::failed("the roster's signing key of the authority is none"))?;
    let until = Instant::now() + patience;
    let mut last = String::from("no node answered");
    for server in access.nodes() {
        let told = (|| -> Result<usize, ClientError> {
            let mut client = access.connect(&server, Duration::from_secs(1))?;
            client.send(&Packet::from(Query {
                request: 1,
                scope: QueryScope::History,
                ..Default::default()
            }))?;
            let (mut learnt, mut rows) = (0, 0);
            while rows < access.roster.clusters.len() && Instant::now() < until {
                match client.recv(Duration::from_secs(1))? {
                    Some(Packet::History(history)) if history.verify(&authority) => {
                        for (epoch, node) in (history.first_epoch.0..).zip(&history.nodes) {
                            chain.learn_grant(history.cluster, Epoch(epoch), *node);
                            learnt += 1;
                        }
                    }
                    Some(Packet::Notice(notice)) if notice.row.verify(&authority) => {
                        let row = &notice.row.row;
                        chain.learn_grant(row.cluster, row.epoch, row.master);
                        learnt += 1;
                        rows += usize::from(notice.request == 1);
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            Ok(learnt)
        })();
        match told {
            Ok(learnt) if learnt >= access.roster.clusters.len() => return Ok(learnt),
            Ok(_) => last = format!("{}: it does not know who was master", server.address),
            Err(why) => last = why.to_string(),
        }
    }
    Err(Failure::unreachable(format!(
        "who was master when is needed to verify certificates, and no running node told it: {last}"
    )))
}

fn verify(access: &Access, settings: &NodeSettings, patience: Patience) -> Result<ExitCode, Failure> {
    let identity = Identity { consortium: settings.roster.consortium, node: settings.node };
    let store = OpenStore::open(&settings.store, identity, OpenMode::Existing).map_err(Failure::failed)?;
    println!("proven: {}", prove(access, settings, &store, patience.span())?);
    Ok(ExitCode::SUCCESS)
}

/// Every block of a store against its certificate and what the authority signed; what was proven, in words.
pub(crate) fn prove(
    access: &Access,
    settings: &NodeSettings,
    store: &OpenStore,
    patience: Duration,
) -> Result<String, Failure> {
    let refused = |what: String| Failure::failed(format!("{}: {what}", settings.store.display()));
    let (cluster, _) =
        settings.roster.node(settings.node).ok_or_else(|| refused("its node is not in the roster".into()))?;
    let mut chain = EmbeddedOf::with_application(EmbeddedConfig {
        cluster: cluster.id,
        node: settings.node,
        signing_key: SigningKey::from_bytes(&settings.signing_secret),
        roster: settings.roster.clone(),
        genesis: Accounts::new(&Genesis { accounts: settings.genesis.clone() }),
        timing: settings.chain,
    });
    let grants = grants(access, patience, &mut chain)?;
    let stored = store.load().map_err(|e| refused(e.to_string()))?;
    let lowest = lowest_block(&stored.meta).map_err(|e| refused(e.to_string()))?;
    let mut start = String::from("the genesis");
    if lowest > Height(1) {
        // What stood below is gone: a snapshot that a quorum signed, and from which no block is missing, takes its place.
        let kept = snapshots(&stored.meta).map_err(|e| refused(e.to_string()))?;
        let proven = kept.iter().find(|s| s.is_proven() && s.height.next() >= lowest);
        let snapshot = proven.ok_or_else(|| {
            refused(format!(
                "blocks below {} are pruned, and no snapshot that is proven reaches them",
                lowest.0
            ))
        })?;
        let plan = chain
            .plan(&snapshot.manifest, &snapshot.proof)
            .map_err(|e| refused(format!("snapshot {} is not proven: {e:?}", snapshot.height.0)))?;
        let chunks = store.snapshot(snapshot).map_err(|e| refused(e.to_string()))?;
        chain
            .restore_snapshot(&snapshot.manifest, &chunks)
            .map_err(|e| refused(format!("snapshot {} is damaged: {e:?}", plan.height.0)))?;
        start = format!("the snapshot of height {}, which a quorum of clusters signed", plan.height.0);
    }
    let from = chain.status().height.next();
    let now = CoreInstant::from_nanos(1);
    let last = store
        .blocks(from, |_, block| {
            chain.apply(now, &block).map(|_| ()).map_err(|e| format!("{e:?}"))?;
            while chain.poll_output().is_some() {}
            Ok(())
        })
        .map_err(|e| refused(e.to_string()))?;
    Ok(format!(
        "{} blocks, {} to {}, from {start}, against {grants} grants; state hash {}",
        last.0 + 1 - from.0,
        from.0,
        last.0,
        keys::hex(&chain.status().state_hash)
    ))
}
