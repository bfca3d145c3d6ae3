//! `meltd token …`: the secrets of services that call the HTTP API.

use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::exit::Failure;
use super::output::{Answer, fields, table};
use super::timeline::moment;
use crate::api::tokens::{hash_of, new_secret};
use crate::intake::Refused;
use crate::npub;
use crate::ports::{Access, ApiToken, Scope, Wallets};
use crate::saga::code::Code;
use crate::saga::ids::Producer;

/// The longest name of a producer: it is part of subjects and keys.
const PRODUCER_CHARS_MAX: usize = 64;

/// `meltd token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token for a service; its secret is shown once and never again
    Create(CreateArgs),
    /// All tokens, without their secrets
    List,
    /// Refuse a token from now on
    Revoke(RevokeArgs),
}

/// `meltd token create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The service's name: the scope of the command ids that it gives
    #[arg(value_name = "PRODUCER")]
    pub producer: String,
    /// What it may do, separated by commas
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    pub scope: Vec<ScopeArg>,
    /// Whose wallets it may act on, separated by commas
    #[arg(
        long,
        value_name = "NPUB",
        value_delimiter = ',',
        required_unless_present = "all"
    )]
    pub wallet: Vec<String>,
    /// It may act on everybody's wallets
    #[arg(long, conflicts_with = "wallet")]
    pub all: bool,
}

/// `meltd token revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The token's id, as `meltd token list` shows it
    pub id: String,
}

/// [`Scope`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScopeArg {
    /// Look
    Read,
    /// Move money
    Melt,
    /// The operator's routes
    Operate,
    /// The metrics, for Prometheus
    Metrics,
}

impl From<ScopeArg> for Scope {
    fn from(arg: ScopeArg) -> Self {
        match arg {
            ScopeArg::Read => Scope::Read,
            ScopeArg::Melt => Scope::Melt,
            ScopeArg::Operate => Scope::Operate,
            ScopeArg::Metrics => Scope::Metrics,
        }
    }
}

/// A token in a list.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    id: String,
    producer: String,
    scopes: Vec<&'static str>,
    wallets: Wallets,
    created_at: String,
    revoked_at: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct CreateAnswer {
    #[serde(flatten)]
    token: Row,
    secret: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ListAnswer {
    tokens: Vec<Row>,
}

#[derive(Debug, Serialize)]
pub(super) struct RevokeAnswer {
    id: String,
    revoked: bool,
}

/// Makes a token.
pub(super) async fn create<S: Access>(
    store: &S,
    args: CreateArgs,
) -> Result<CreateAnswer, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let producer = args.producer;
    if producer.is_empty() || producer.len() > PRODUCER_CHARS_MAX || !producer.chars().all(plain) {
        let seen = "a producer's name has 1 to 64 letters, digits, - or _";
        return Err(Failure::new(Code::ConfigInvalid, seen));
    }
    let owners = args.wallet.iter().map(|owner| npub::check(owner));
    let owners = owners.collect::<Result<Vec<_>, _>>();
    let owners = owners.map_err(|why| Refused::new(Code::InvalidNpub, why))?;
    let mut scopes: Vec<Scope> = Vec::new();
    for scope in args.scope.into_iter().map(Scope::from) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    let no_randomness = |why| Failure::new(Code::Internal, format!("no randomness: {why}"));
    let secret = new_secret().map_err(no_randomness)?;
    let token = ApiToken {
        id: uuid::Uuid::now_v7().to_string(),
        producer: Producer::new(producer),
        wallets: if args.all {
            Wallets::All
        } else {
            Wallets::Of(owners)
        },
        scopes,
        created_at: Utc::now(),
        revoked_at: None,
    };
    store.add_token(token.clone(), &hash_of(&secret)).await?;
    Ok(CreateAnswer {
        token: row(token),
        secret,
    })
}

/// Lists them.
pub(super) async fn list<S: Access>(store: &S) -> Result<ListAnswer, Failure> {
    let tokens = store.tokens().await?.into_iter().map(row).collect();
    Ok(ListAnswer { tokens })
}

/// Revokes one.
pub(super) async fn revoke<S: Access>(
    store: &S,
    args: RevokeArgs,
) -> Result<RevokeAnswer, Failure> {
    if !store.revoke_token(&args.id, Utc::now()).await? {
        let seen = "there is no live token with this id";
        return Err(Failure::new(Code::NotFound, seen));
    }
    let (id, revoked) = (args.id, true);
    Ok(RevokeAnswer { id, revoked })
}

fn row(token: ApiToken) -> Row {
    Row {
        id: token.id,
        producer: token.producer.to_string(),
        scopes: token.scopes.iter().map(|scope| scope.as_str()).collect(),
        wallets: token.wallets,
        created_at: moment(token.created_at),
        revoked_at: token.revoked_at.map(moment),
    }
}

impl Row {
    fn whose(&self) -> String {
        match &self.wallets {
            Wallets::All => "all".to_owned(),
            Wallets::Of(owners) => owners.join(" "),
        }
    }
}

impl Answer for CreateAnswer {
    fn human(&self) -> String {
        fields(&[
            ("token", self.token.id.clone()),
            ("producer", self.token.producer.clone()),
            ("scopes", self.token.scopes.join(",")),
            ("wallets", self.token.whose()),
            ("secret", self.secret.clone()),
            (
                "note",
                "keep the secret now: it is not stored and not shown again".to_owned(),
            ),
        ])
    }
}

impl Answer for ListAnswer {
    fn human(&self) -> String {
        let rows = self.tokens.iter().map(|token| {
            let revoked = token.revoked_at.clone().unwrap_or_default();
            vec![
                token.id.clone(),
                token.producer.clone(),
                token.scopes.join(","),
                token.whose(),
                token.created_at.clone(),
                revoked,
            ]
        });
        let head = [
            "token", "producer", "scopes", "wallets", "created", "revoked",
        ];
        table(&head, &rows.collect::<Vec<_>>())
    }
}

impl Answer for RevokeAnswer {
    fn human(&self) -> String {
        fields(&[("revoked", self.id.clone())])
    }
}
