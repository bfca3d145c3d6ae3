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
    let waiting = Waiting::new(act.out);
    let mut lines = Vec::new();
    for wallet in wallets {
        waiting.says(&format!("{} at {}", short(&wallet.npub), wallet.mint_url));
        let work = one(act, &wallet, &scope, args.dry_run);
        let Some(result) = waiting.on(work).await else {
            let message = "stopped by a signal; what was corrected stands".to_owned();
            return Err(not_finished(message));
        };
        lines.push(line(wallet, result));
    }
    Ok(ReconcileAnswer {
        dry_run: args.dry_run,
        failure: verdict(&lines, args.dry_run),
        wallets: lines,
    })
}

async fn one<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    wallet: &Wallet,
    scope: &Scope,
    dry_run: bool,
) -> Result<Report, Stopped> {
    if !dry_run {
        return act.driver.reconcile(wallet, scope).await;
    }
    let look = act.driver.look_at(wallet, scope).await?;
    Ok(Report {
        look,
        ..Report::default()
    })
}

fn line(wallet: Wallet, result: Result<Report, Stopped>) -> Line {
    let (report, stopped) = match result {
        Ok(report) => (report, None),
        Err(why) => (Report::default(), Some(why.to_string())),
    };
    Line {
        wallet: wallet.id.to_string(),
        npub: wallet.npub,
        mint_url: wallet.mint_url,
        report,
        stopped,
    }
}

/// Done if every wallet was looked at, and nothing is left for a person.
fn verdict(lines: &[Line], dry_run: bool) -> Option<Failure> {
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
    let waiting = lines
        .iter()
        .filter(|line| !line.report.settled.waiting.is_empty());
    let open = waiting.count() + lines.iter().filter(|line| line.stopped.is_some()).count();
    (open > 0).then(|| not_finished(format!("{open} wallet(s) were not reconciled to the end")))
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
