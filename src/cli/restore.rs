//! `meltd restore`: wallets found again from the seed, the mint and npubs.

use std::path::PathBuf;

use serde::Serialize;

use super::Act;
use super::exit::{Failure, inside};
use super::output::{Answer, table};
use super::progress::Waiting;
use super::reconcile::{not_finished, why_stopped};
use super::sagas::short;
use crate::intake::{Refused, Target};
use crate::npub;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::restore::{Begin, Found, Progress};
use crate::saga::code::Code;

/// `meltd restore`
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Whose wallets; repeat it for several [default with --counters: every wallet of the store]
    #[arg(long, value_name = "NPUB")]
    pub npub: Vec<String>,
    /// A file with one npub a line
    #[arg(long, value_name = "FILE")]
    pub npubs: Option<PathBuf>,
    /// One of the configured mints [default: all of them]
    #[arg(long, value_name = "URL")]
    pub mint: Option<String>,
    /// Only look ahead of the store's own counters, which an old backup has left behind: raises
    /// them, and adds what is found there
    #[arg(long)]
    pub counters: bool,
}

/// One wallet.
#[derive(Debug, Serialize)]
struct Line {
    wallet: String,
    npub: String,
    mint_url: String,
    #[serde(flatten)]
    found: Found,
    /// Why it was not looked through to the end, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct RestoreAnswer {
    wallets: Vec<Line>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// One wallet after the other.
pub(super) async fn restore<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: RestoreArgs,
) -> Result<RestoreAnswer, Failure> {
    let begin = match args.counters {
        true => Begin::Counters,
        false => Begin::Start,
    };
    let wallets = wallets(act, &args).await?;
    let all = wallets.len();
    let waiting = Waiting::new(act.out);
    let mut lines = Vec::new();
    for wallet in wallets {
        let name = format!("{} at {}", short(&wallet.npub), wallet.mint_url);
        waiting.says(&name);
        let told = |p: &Progress<'_>| {
            let (keyset, counter, restored) = (p.keyset, p.counter, p.restored);
            let line = format!("{name}: keyset {keyset}, counter {counter}, {restored} restored");
            act.out.progress(&line);
        };
        let mut found = Found::default();
        let work = act.driver.restore_wallet(&wallet, begin, &mut found, told);
        let done = waiting.on(work).await;
        let is_stopped = done.is_none();
        lines.push(Line {
            wallet: wallet.id.to_string(),
            npub: wallet.npub,
            mint_url: wallet.mint_url,
            found,
            stopped: why_stopped(done),
        });
        if is_stopped {
            break;
        }
    }
    let is_done = |line: &&Line| line.stopped.is_none() && line.found.settled.waiting.is_empty();
    let open = all.saturating_sub(lines.iter().filter(is_done).count());
    let failure = (open > 0).then(|| {
        not_finished(format!(
            "{open} of {all} wallet(s) were not restored to the end, and what was found is stored; \
             run the same command again: what is there already is left alone"
        ))
    });
    Ok(RestoreAnswer {
        wallets: lines,
        failure,
    })
}

/// The wallets that were asked for, made where the store does not know them.
async fn wallets<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: &RestoreArgs,
) -> Result<Vec<Wallet>, Failure> {
    let mut npubs = args.npub.clone();
    if let Some(file) = &args.npubs {
        let text = std::fs::read_to_string(file).map_err(|why| {
            let file = file.display();
            Failure::new(Code::ConfigInvalid, format!("{file} cannot be read: {why}"))
        })?;
        let lines = text.lines().map(str::trim);
        npubs.extend(lines.filter(|l| !l.is_empty()).map(str::to_owned));
    }
    if npubs.is_empty() && args.counters {
        let all = act.driver.store.wallets(None).await?;
        let mint = args.mint.as_deref();
        let asked =
            |url: &str| mint.is_none() || act.driver.mint.canonical(mint).as_deref() == Some(url);
        return Ok(all.into_iter().filter(|w| asked(&w.mint_url)).collect());
    }
    if npubs.is_empty() {
        let message = "name the owners with --npub or --npubs: a seed alone does not know them";
        return Err(Failure::new(Code::ConfigInvalid, message));
    }
    for npub in &npubs {
        npub::check(npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
    }
    let urls = match &args.mint {
        Some(url) => vec![url.clone()],
        None => act.driver.mint.urls(),
    };
    let mut wallets = Vec::new();
    for npub in npubs {
        for url in &urls {
            let target: Target = act.target(npub.clone(), Some(url.clone()));
            wallets.push(act.driver.wallet(&target).await?);
        }
    }
    Ok(wallets)
}

impl Answer for RestoreAnswer {
    fn human(&self) -> String {
        let rows = self.wallets.iter().map(|line| {
            let found = &line.found;
            let raised = found.raised.iter();
            let raised = raised.map(|r| format!("{} to {}", r.from, r.to));
            let raised: Vec<_> = raised.collect();
            vec![
                short(&line.npub),
                line.mint_url.clone(),
                found.signed.to_string(),
                found.spent.to_string(),
                found.pending_amount.to_string(),
                found.settled.restored.to_string(),
                found.settled.restored_amount.to_string(),
                raised.join(", "),
                line.stopped.clone().unwrap_or_default(),
            ]
        });
        let head = [
            "npub",
            "mint",
            "signed",
            "spent",
            "pending value",
            "coins added",
            "value added",
            "counters raised",
            "stopped by",
        ];
        let mut text = table(&head, &rows.collect::<Vec<_>>());
        if self.wallets.iter().any(|line| line.found.pending > 0) {
            text +=
                "Coins in a payment at the mint were left out: run it again when it has ended.\n";
        }
        text
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
