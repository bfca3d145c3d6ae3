//! The proof rows of an append: each write repeats the condition that was read.

use rusqlite::{Connection, OptionalExtension, params};

use crate::ports::StoreError;
use crate::saga::ids::{Coin, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, ProofWrite, Token};

const MOVE: &str = "
UPDATE proofs SET state = ?1, saga = ?2, spent_at = ?3
WHERE y = ?4 AND wallet = ?5 AND state = ?6 AND saga IS ?7";

const INSERT: &str = "
INSERT INTO proofs (y, wallet, keyset, counter, amount, c, e, s, state, saga, token_id,
    transaction_type, transaction_id, parent_transaction_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (y) DO NOTHING";

/// Writes the proof rows of one append.
pub(super) struct ProofWriter<'a> {
    pub(super) conn: &'a Connection,
    pub(super) saga: &'a SagaId,
    pub(super) wallet: &'a WalletId,
    pub(super) now: i64,
}

impl ProofWriter<'_> {
    /// All moves, so that a refusal names every coin that is not as it was read.
    pub(super) fn move_all(&self, writes: &[ProofWrite]) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for write in writes {
            match write {
                ProofWrite::Move { y, from, to } => {
                    if !self.shift(y, *from, *to)? {
                        changed.push(y.clone());
                    }
                }
                ProofWrite::Insert { .. } => {}
            }
        }
        if changed.is_empty() {
            Ok(())
        } else {
            Err(StoreError::ChooseAgain(changed))
        }
    }

    pub(super) fn insert_all(&self, writes: &[ProofWrite]) -> Result<(), StoreError> {
        for write in writes {
            match write {
                ProofWrite::Insert {
                    coin,
                    signature,
                    state,
                    token,
                } => {
                    if !self.insert(coin, signature, *state, token)? {
                        self.adopt(coin, signature)?;
                    }
                }
                ProofWrite::Move { .. } => {}
            }
        }
        Ok(())
    }

    /// The state, and the holder if there must be one, are the condition that was read.
    fn shift(&self, y: &Y, from: ProofState, to: ProofState) -> Result<bool, StoreError> {
        if from == ProofState::Spent {
            return Err(StoreError::Unusable(
                "a spent proof never changes".to_owned(),
            ));
        }
        let spent_at = (to == ProofState::Spent).then_some(self.now);
        let matched = self.conn.prepare_cached(MOVE)?.execute(params![
            to.as_str(),
            self.holder_in(to),
            spent_at,
            y.as_str(),
            self.wallet.as_str(),
            from.as_str(),
            self.holder_in(from),
        ])?;
        Ok(matched == 1)
    }

    fn insert(
        &self,
        coin: &Coin,
        signature: &Signature,
        state: ProofState,
        token: &Token,
    ) -> Result<bool, StoreError> {
        let inserted = self.conn.prepare_cached(INSERT)?.execute(params![
            coin.y.as_str(),
            self.wallet.as_str(),
            coin.keyset.as_str(),
            coin.counter,
            coin.amount,
            signature.c,
            signature.e,
            signature.s,
            state.as_str(),
            self.holder_in(state),
            token.token_id,
            token.transaction_type.as_str(),
            token.transaction_id,
            token.parent_transaction_id,
        ])?;
        Ok(inserted == 1)
    }

    /// A row of the same Y is there: the same coin of the same wallet is left as it is.
    fn adopt(&self, coin: &Coin, signature: &Signature) -> Result<(), StoreError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT 1 FROM proofs WHERE y = ?1 AND wallet = ?2 AND c = ?3")?;
        let same = select
            .query_row(
                [coin.y.as_str(), self.wallet.as_str(), &signature.c],
                |_| Ok(()),
            )
            .optional()?;
        same.ok_or_else(|| StoreError::YConflict(coin.y.clone()))
    }

    /// Who holds a coin of ours in this state: nobody while it is unspent.
    fn holder_in(&self, state: ProofState) -> Option<&str> {
        match state {
            ProofState::Unspent => None,
            ProofState::Reserved | ProofState::Pending | ProofState::Spent => {
                Some(self.saga.as_str())
            }
        }
    }
}
