//! `meltd wallet reconcile`: every coin held against its mint, and what differs corrected.

use serde::Serialize;

use super::Act;
use super::exit::{Exit, Failure, inside};
use super::output::{Answer, table};
use super::progress::Waiting;
use super::sagas::short;
use crate::intake::Refused;
use crate::npub;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::reconcile::{Report, Scope, Stopped};
use crate::saga::code::{Code, Severity};

/// `meltd wallet reconcile`
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true))]
pub struct ReconcileArgs {
    /// Whose wallets
    #[arg(long, value_name = "NPUB", group = "whose")]
    pub npub: Option<String>,
    /// Everybody's wallets
    #[arg(long, group = "whose")]
    pub all: bool,
    /// Say what differs, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// One wallet.
#[derive(Debug, Serialize)]
struct Line {
    wallet: String,
    npub: String,
    mint_url: String,
    #[serde(flatten)]
    report: Report,
    /// Why it was not looked at to the end, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// What differs and what was done.
#[derive(Debug, Serialize)]
pub(super) struct ReconcileAnswer {
    dry_run: bool,
    wallets: Vec<Line>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// One wallet after the other, so that no mint is asked by many at once.
pub(super) async fn reconcile<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: ReconcileArgs,
) -> Result<ReconcileAnswer, Failure> {
    let owner = args.npub.as_deref().map(npub::check).transpose();
    let owner = owner.map_err(|why| Refused::new(Code::InvalidNpub, why))?;
    let wallets = act.driver.store.wallets(owner.as_deref()).await?;
    let scope = Scope {
        spent: true,
        ..Scope::default()
    };
    let all = wallets.len();
    let waiting = Waiting::new(act.out);
    let mut lines = Vec::new();
    for wallet in wallets {
        waiting.says(&format!("{} at {}", short(&wallet.npub), wallet.mint_url));
        let mut report = Report::default();
        let work = one(act, &wallet, &scope, args.dry_run, &mut report);
        let done = waiting.on(work).await;
        let is_stopped = done.is_none();
        lines.push(line(wallet, report, done));
        if is_stopped {
            break;
        }
    }
    Ok(ReconcileAnswer {
        dry_run: args.dry_run,
        failure: verdict(&lines, all, args.dry_run),
        wallets: lines,
    })
}

async fn one<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    wallet: &Wallet,
    scope: &Scope,
    dry_run: bool,
    report: &mut Report,
) -> Result<(), Stopped> {
    match dry_run {
        true => act.driver.look_at(wallet, scope, &mut report.look).await,
        false => act.driver.reconcile(wallet, scope, report).await,
    }
}

fn line(wallet: Wallet, report: Report, done: Option<Result<(), Stopped>>) -> Line {
    let stopped = why_stopped(done);
    Line {
        wallet: wallet.id.to_string(),
        npub: wallet.npub,
        mint_url: wallet.mint_url,
        report,
        stopped,
    }
}

/// Done if all wallets were looked at, and nothing is left for a person.
fn verdict(lines: &[Line], all: usize, dry_run: bool) -> Option<Failure> {
    if lines.iter().any(|line| !line.report.look.behind.is_empty()) {
        let code = Code::CountersBehind;
        return Some(Failure::new(code, code.advice()));
    }
    let looks = || lines.iter().map(|line| &line.report.look);
    let high = looks().flat_map(|look| &look.differences);
    let high = high.filter(|d| d.severity >= Severity::High).count();
    if dry_run && high > 0 {
        let message = format!("{high} coin(s) are spent at the mint: run it without --dry-run");
        return Some(Failure::new(Code::ProofStateInconsistency, message));
    }
    let leaked: usize = looks().map(|look| look.leaked.len()).sum();
    if leaked > 0 {
        let exit = Exit::Critical;
        let message = format!("{leaked} coin(s) are held by sagas that have ended");
        return Some(Failure {
            exit,
            ..Failure::new(Code::RecoverableStateInconsistency, message)
        });
    }
    let is_done = |l: &&Line| l.stopped.is_none() && l.report.settled.waiting.is_empty();
    let open = all.saturating_sub(lines.iter().filter(is_done).count());
    let message = format!("{open} of {all} wallet(s) were not reconciled to the end");
    (open > 0).then(|| not_finished(message))
}

/// Why a wallet was not done to the end, if it was not; `None` is a signal.
pub(super) fn why_stopped(done: Option<Result<(), Stopped>>) -> Option<String> {
    match done {
        Some(Ok(())) => None,
        Some(Err(why)) => Some(why.to_string()),
        None => Some("stopped by a signal".to_owned()),
    }
}

/// Nothing was paid here, so it may simply be run again.
pub(super) fn not_finished(message: String) -> Failure {
    Failure {
        exit: Exit::Unfinished,
        code: Code::NotFinished,
        message,
        saga: None,
    }
}

impl Answer for ReconcileAnswer {
    fn human(&self) -> String {
        let mut text = String::new();
        for line in &self.wallets {
            let (look, settled) = (&line.report.look, &line.report.settled);
            text += &format!(
                "{} at {}: {} coins checked, {} held by living sagas, {} differ\n",
                short(&line.npub),
                line.mint_url,
                look.checked,
                look.held,
                look.differences.len(),
            );
            if let Some(why) = &line.stopped {
                text += &format!("  not looked at to the end: {why}\n");
            }
            if settled.corrected + settled.restored > 0 {
                text += &format!(
                    "  {} coin(s) of {} marked as spent, {} coin(s) of {} added\n",
                    settled.corrected,
                    settled.corrected_amount,
                    settled.restored,
                    settled.restored_amount
                );
            }
            for (saga, why) in &settled.waiting {
                text += &format!("  saga {saga} waits: {why}\n");
            }
            let rows = look.differences.iter().map(|d| {
                let y: String = d.y.as_str().chars().take(16).collect();
                let severity = d.severity.as_str().to_owned();
                let name = d.discrepancy.as_str().to_owned();
                vec![name, severity, d.amount.to_string(), format!("{y}..")]
            });
            let rows: Vec<_> = rows.collect();
            if !rows.is_empty() {
                text += &table(&["discrepancy", "severity", "amount", "coin"], &rows);
            }
        }
        if text.is_empty() {
            text += "no wallets\n";
        }
        text
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
