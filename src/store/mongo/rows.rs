//! Documents to our types and back. Whole numbers are stored as signed 64-bit ones and checked on
//! the way in and out; a number that does not fit is a refusal, never a wrap.

use chrono::{DateTime, Utc};
use mongodb::bson::{self, Document, doc};
use serde::{Deserialize, Serialize};

use super::fault::damaged;
use crate::ports::{Head, NewSaga, ProofRow, StoreError, Wallet};
use crate::saga::chain::Record;
use crate::saga::code::Code;
use crate::saga::command::Command;
use crate::saga::decide::Doubt;
use crate::saga::ids::{Coin, KeysetId, Producer, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, Token, TransactionType};
use crate::saga::state::Status;

/// A whole number as it is stored.
pub(super) fn stored(number: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Unusable(format!("the {what} is too large")))
}

pub(super) fn date(
    date: bson::DateTime,
    what: &str,
    id: &str,
) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(date.timestamp_millis()).ok_or_else(|| damaged(what, id))
}

/// A contradiction and its count.
#[derive(Deserialize)]
struct DoubtDoc {
    code: String,
    passes: i64,
}

impl DoubtDoc {
    fn into_doubt(self, id: &str) -> Result<Doubt, StoreError> {
        let code = Code::ALL.iter().find(|code| code.as_str() == self.code);
        Ok(Doubt {
            code: *code.ok_or_else(|| damaged("contradiction", id))?,
            passes: u32::try_from(self.passes).map_err(|_| damaged("contradiction", id))?,
        })
    }
}

/// A head, without what only the server looks at.
#[derive(Deserialize)]
pub(super) struct HeadDoc {
    #[serde(rename = "_id")]
    pub(super) id: String,
    wallet: String,
    npub: String,
    mint_url: String,
    unit: String,
    pub(super) producer: String,
    command_id: String,
    intent_key: Option<String>,
    pub(super) request_hash: String,
    command: Command,
    reply_to: Option<String>,
    pub(super) version: i64,
    head_hash: String,
    state: String,
    status: Status,
    fence: i64,
    attempts: i64,
    next_attempt_at: Option<bson::DateTime>,
    last_error: Option<String>,
    doubt: Option<DoubtDoc>,
    created_at: bson::DateTime,
    updated_at: bson::DateTime,
}

impl HeadDoc {
    pub(super) fn into_head(self) -> Result<Head, StoreError> {
        let id = self.id.as_str();
        let next = self
            .next_attempt_at
            .map(|d| date(d, "due time", id))
            .transpose()?;
        Ok(Head {
            version: u32::try_from(self.version).map_err(|_| damaged("version", id))?,
            fence: u64::try_from(self.fence).map_err(|_| damaged("fence", id))?,
            attempts: u32::try_from(self.attempts).map_err(|_| damaged("attempts", id))?,
            next_attempt_at: next,
            created_at: date(self.created_at, "creation time", id)?,
            updated_at: date(self.updated_at, "update time", id)?,
            head_hash: self.head_hash,
            state: self.state,
            status: self.status,
            last_error: self.last_error,
            doubt: self.doubt.map(|d| d.into_doubt(id)).transpose()?,
            new: NewSaga {
                id: SagaId::new(self.id),
                wallet: Wallet {
                    id: WalletId::new(self.wallet),
                    npub: self.npub,
                    mint_url: self.mint_url,
                    unit: self.unit,
                },
                producer: Producer::new(self.producer),
                command_id: self.command_id,
                intent_key: self.intent_key,
                request_hash: self.request_hash,
                command: self.command,
                reply_to: self.reply_to,
            },
        })
    }
}

/// An event.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct EventDoc {
    #[serde(rename = "_id")]
    pub(super) id: String,
    saga: String,
    seq: i64,
    name: String,
    pub(super) body: String,
    private: Option<String>,
    prev_hash: String,
    pub(super) hash: String,
}

impl EventDoc {
    pub(super) fn of(record: Record) -> Self {
        EventDoc {
            id: record.id(),
            saga: record.saga.as_str().to_owned(),
            seq: i64::from(record.seq),
            name: record.name,
            body: record.body,
            private: record.private,
            prev_hash: record.prev_hash,
            hash: record.hash,
        }
    }

    /// The fields that its outbox row copies.
    pub(super) fn outbox_fields(&self) -> Document {
        doc! {
            "saga": &self.saga,
            "subject": format!("melt.events.{}", self.name),
            "body": &self.body,
            "seq": self.seq,
            "hash": &self.hash,
            "prev_hash": &self.prev_hash,
        }
    }

    pub(super) fn into_record(self) -> Result<Record, StoreError> {
        Ok(Record {
            seq: u32::try_from(self.seq).map_err(|_| damaged("position", &self.id))?,
            saga: SagaId::new(self.saga),
            name: self.name,
            body: self.body,
            private: self.private,
            prev_hash: self.prev_hash,
            hash: self.hash,
        })
    }
}

/// A proof.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct ProofDoc {
    #[serde(rename = "_id")]
    pub(super) y: String,
    pub(super) wallet: String,
    keyset: String,
    counter: i64,
    amount: i64,
    pub(super) c: String,
    dleq_e: String,
    dleq_s: String,
    pub(super) state: ProofState,
    pub(super) saga: Option<String>,
    token_id: String,
    transaction_type: TransactionType,
    transaction_id: String,
    parent_transaction_id: Option<String>,
    spent_at: Option<bson::DateTime>,
}

impl ProofDoc {
    /// A new row: a coin that is not free is held by the saga that made it.
    pub(super) fn born(
        wallet: &WalletId,
        saga: &SagaId,
        (coin, signature): (Coin, Signature),
        state: ProofState,
        token: Token,
    ) -> Result<Self, StoreError> {
        Ok(ProofDoc {
            amount: stored(coin.amount, "amount of a coin")?,
            y: coin.y.as_str().to_owned(),
            wallet: wallet.as_str().to_owned(),
            keyset: coin.keyset.as_str().to_owned(),
            counter: i64::from(coin.counter),
            c: signature.c,
            dleq_e: signature.e,
            dleq_s: signature.s,
            state,
            saga: (state != ProofState::Unspent).then(|| saga.as_str().to_owned()),
            token_id: token.token_id,
            transaction_type: token.transaction_type,
            transaction_id: token.transaction_id,
            parent_transaction_id: token.parent_transaction_id,
            spent_at: None,
        })
    }

    pub(super) fn into_row(self) -> Result<ProofRow, StoreError> {
        let y = self.y.as_str();
        let spent_at = self
            .spent_at
            .map(|d| date(d, "time of spending", y))
            .transpose()?;
        let coin = Coin {
            counter: u32::try_from(self.counter).map_err(|_| damaged("counter", y))?,
            amount: u64::try_from(self.amount).map_err(|_| damaged("amount", y))?,
            keyset: KeysetId::new(self.keyset),
            y: Y::new(self.y),
        };
        Ok(ProofRow {
            wallet: WalletId::new(self.wallet),
            coin,
            signature: Signature {
                c: self.c,
                e: self.dleq_e,
                s: self.dleq_s,
            },
            state: self.state,
            saga: self.saga.map(SagaId::new),
            token: Token {
                token_id: self.token_id,
                transaction_type: self.transaction_type,
                transaction_id: self.transaction_id,
                parent_transaction_id: self.parent_transaction_id,
            },
            spent_at,
        })
    }
}
