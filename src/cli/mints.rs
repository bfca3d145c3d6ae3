//! `meltd mints list|pause|resume`: new payments through a mint are stopped by hand, for every
//! process that uses the store. What is at the mint already goes on.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Act;
use super::desk::Who;
use super::exit::Failure;
use super::output::{Answer, table};
use super::timeline::moment;
use crate::desk::{self, Standing};
use crate::intake::Refused;
use crate::ports::{Clock, Mint, Pause, Store};
use crate::saga::code::Code;

/// `meltd mints …`
#[derive(Debug, Subcommand)]
pub enum MintsCommand {
    /// Every mint of a wallet, whether it is paused, and what is open there
    List,
    /// Begin nothing new at a mint; what is there already is asked for, finished and fenced
    Pause(PauseArgs),
    /// End a pause
    Resume(ResumeArgs),
}

/// `meltd mints pause`
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The mint's URL
    pub url: String,
    /// Who and why.
    #[command(flatten)]
    pub who: Who,
}

/// `meltd mints resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The mint's URL
    pub url: String,
}

/// One mint.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    mint_url: String,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    wallets: usize,
    open_sagas: usize,
}

/// `meltd mints …`
#[derive(Debug, Serialize)]
pub(super) struct MintsAnswer {
    mints: Vec<Row>,
}

/// Every mint that a wallet is at, or that is paused.
pub(super) async fn list<S: Store>(store: &S) -> Result<MintsAnswer, Failure> {
    let mints = desk::mints(store).await?.into_iter().map(row).collect();
    Ok(MintsAnswer { mints })
}

fn row(standing: Standing) -> Row {
    let Standing {
        mint_url,
        pause,
        wallets,
        open_sagas,
    } = standing;
    Row {
        mint_url,
        paused: pause.is_some(),
        pause,
        wallets,
        open_sagas,
    }
}

/// Pauses a configured mint.
pub(super) async fn pause<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: PauseArgs,
) -> Result<MintsAnswer, Failure> {
    let (store, url) = (&*act.driver.store, known(act, &args.url)?);
    store
        .pause_mint(&url, &args.who.by, &args.who.reason)
        .await?;
    list(store).await
}

/// Ends a pause.
pub(super) async fn resume<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: ResumeArgs,
) -> Result<MintsAnswer, Failure> {
    let (store, url) = (&*act.driver.store, known(act, &args.url)?);
    if !store.resume_mint(&url).await? {
        let seen = format!("the mint {url} is not paused");
        return Err(Refused::new(Code::NotFound, seen).into());
    }
    list(store).await
}

/// The URL as wallets have it.
fn known<S: Store, M: Mint, C: Clock>(act: &Act<S, M, C>, url: &str) -> Result<String, Failure> {
    let canonical = act.driver.mint.canonical(Some(url));
    canonical.ok_or_else(|| {
        let seen = format!("the mint {url} is not configured");
        Refused::new(Code::MintUnknown, seen).into()
    })
}

impl Answer for MintsAnswer {
    fn human(&self) -> String {
        let rows = self.mints.iter().map(|row| {
            let pause = row.pause.as_ref();
            let state = if row.paused { "paused" } else { "open" };
            vec![
                row.mint_url.clone(),
                state.to_owned(),
                row.wallets.to_string(),
                row.open_sagas.to_string(),
                pause.map_or_else(String::new, |p| moment(p.at)),
                pause.map_or_else(String::new, |p| format!("{}: {}", p.by, p.reason)),
            ]
        });
        let head = ["mint", "state", "wallets", "open sagas", "since", "by"];
        table(&head, &rows.collect::<Vec<_>>())
    }
}
