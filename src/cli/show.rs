//! `meltd saga show` and `verify`: one saga, what happened to it, and whether the record is whole.

use chrono::Utc;
use serde::Serialize;

use super::evidence::rows;
use super::exit::{Exit, Failure};
use super::output::{Answer, fields};
use super::sagas::{amount, outcome};
use super::timeline::{self, Moment};
use crate::desk::Fresh;
use crate::driver::fold;
use crate::intake::Refused;
use crate::ports::{Loaded, Store};
use crate::recovery::{Intention, mode_of};
use crate::saga::code::Code;
use crate::saga::command::Kind;
use crate::saga::ids::{Amount, SagaId};
use crate::saga::state::{Saga, Status};

/// `meltd saga show`
#[derive(Debug, Serialize)]
pub(super) struct ShowAnswer {
    pub(super) saga: SagaId,
    pub(super) kind: Kind,
    state: &'static str,
    status: Status,
    pub(super) outcome: String,
    amount: Amount,
    unit: String,
    npub: String,
    mint_url: String,
    producer: String,
    command_id: String,
    intent_key: Option<String>,
    attempts: u32,
    waiting_for: Option<String>,
    preimage: Option<String>,
    next: Option<String>,
    why: Option<String>,
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<Fresh>,
    head_hash: String,
    pub(super) timeline: Vec<Moment>,
}

/// `meltd saga verify`
#[derive(Debug, Serialize)]
pub(super) struct VerifyAnswer {
    saga: SagaId,
    verified: bool,
    events: u32,
    state: &'static str,
    head_hash: String,
}

/// A saga's log, or that there is none.
pub(super) async fn load<S: Store>(store: &S, id: &str) -> Result<Loaded, Failure> {
    let loaded = store.load(&SagaId::new(id.trim())).await?;
    let missing = || Failure::from(Refused::new(Code::NotFound, ""));
    loaded.ok_or_else(missing)
}

/// Folds a log that was loaded, or says where it is broken.
fn folded(loaded: &Loaded) -> Result<Saga, Failure> {
    let folded = fold(loaded).map_err(|error| Failure {
        exit: Exit::Critical,
        code: Code::StoreUnusable,
        message: format!("{error}. Stop writing to this store and compare it with a backup"),
        saga: Some(loaded.head.new.id.clone()),
    });
    folded.map(|(saga, _)| saga)
}

/// Everything about one saga that a person may see.
pub(super) async fn show<S: Store>(store: &S, id: &str) -> Result<ShowAnswer, Failure> {
    let loaded = load(store, id).await?;
    let saga = folded(&loaded)?;
    let head = &loaded.head;
    let mode = mode_of(&store.pauses().await?, &saga);
    let intention = Intention::of(head, &saga, mode, Utc::now());
    let is_open = !saga.state.is_terminal();
    let next = is_open.then_some(intention.step);
    Ok(ShowAnswer {
        saga: head.new.id.clone(),
        kind: saga.kind(),
        state: saga.state.as_str(),
        status: saga.status(),
        outcome: outcome(&saga),
        amount: amount(&head.new.command),
        unit: head.new.wallet.unit.clone(),
        npub: head.new.wallet.npub.clone(),
        mint_url: head.new.wallet.mint_url.clone(),
        producer: head.new.producer.to_string(),
        command_id: head.new.command_id.clone(),
        intent_key: head.new.intent_key.clone(),
        attempts: head.attempts,
        waiting_for: head.last_error.clone().filter(|_| next.is_some()),
        preimage: saga.paid.as_ref().and_then(|p| p.preimage.clone()),
        next,
        why: intention.why.filter(|_| is_open),
        version: head.version,
        evidence: None,
        head_hash: head.head_hash.clone(),
        timeline: timeline::of(&loaded),
    })
}

/// Computes the chain and the state again.
pub(super) async fn verify<S: Store>(store: &S, id: &str) -> Result<VerifyAnswer, Failure> {
    let loaded = load(store, id).await?;
    let saga = folded(&loaded)?;
    let head = loaded.head;
    if saga.state.as_str() != head.state || saga.status() != head.status {
        return Err(Failure {
            exit: Exit::Critical,
            code: Code::StoreUnusable,
            message: format!(
                "the head says {}, but the events make it {}",
                head.state,
                saga.state.as_str()
            ),
            saga: Some(head.new.id),
        });
    }
    Ok(VerifyAnswer {
        saga: head.new.id,
        verified: true,
        events: saga.seq,
        state: saga.state.as_str(),
        head_hash: head.head_hash,
    })
}

impl Answer for ShowAnswer {
    fn human(&self) -> String {
        let state = if self.status == Status::Done {
            self.state.to_owned()
        } else {
            format!("{} ({})", self.state, self.status.as_str())
        };
        let tries = match self.attempts {
            0 => String::new(),
            n => format!("{n} since the last event"),
        };
        let text = fields(&[
            ("saga", self.saga.to_string()),
            ("kind", self.kind.as_str().to_owned()),
            ("state", state),
            ("outcome", self.outcome.clone()),
            ("version", self.version.to_string()),
            ("next", self.next.clone().unwrap_or_default()),
            ("because", self.why.clone().unwrap_or_default()),
            ("looks", tries),
            ("owner", self.npub.clone()),
            ("mint", self.mint_url.clone()),
            (
                "command",
                format!("{} of {}", self.command_id, self.producer),
            ),
            ("intent", self.intent_key.clone().unwrap_or_default()),
            ("preimage", self.preimage.clone().unwrap_or_default()),
            ("head hash", self.head_hash.clone()),
        ]);
        let evidence = self.evidence.as_ref();
        let evidence = evidence.map_or_else(String::new, |e| fields(&rows(e, &self.unit)));
        format!("{text}{evidence}\n{}", timeline::human(&self.timeline))
    }
}

impl Answer for VerifyAnswer {
    fn human(&self) -> String {
        fields(&[
            ("saga", self.saga.to_string()),
            (
                "verified",
                format!("{} events, chain and state", self.events),
            ),
            ("state", self.state.to_owned()),
            ("head hash", self.head_hash.clone()),
        ])
    }
}
