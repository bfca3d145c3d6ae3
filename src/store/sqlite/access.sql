-- Who may ask. Made beside the first tables in a file of any age: nothing else refers to them.

CREATE TABLE IF NOT EXISTS api_tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    -- SHA-256 of the secret, which is nowhere stored.
    hash       TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    producer   TEXT NOT NULL,
    wallets    TEXT NOT NULL CHECK (json_valid(wallets)),
    scopes     TEXT NOT NULL CHECK (json_valid(scopes)),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;

CREATE TRIGGER IF NOT EXISTS api_tokens_stay_revoked BEFORE UPDATE ON api_tokens
WHEN OLD.revoked_at IS NOT NULL OR NEW.hash <> OLD.hash OR NEW.scopes <> OLD.scopes
    OR NEW.wallets <> OLD.wallets OR NEW.producer <> OLD.producer
BEGIN SELECT RAISE(ABORT, 'a token is only ever revoked'); END;

-- Signed requests that were used, until their time is over.
CREATE TABLE IF NOT EXISTS used_ids (
    id    TEXT PRIMARY KEY NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS used_ids_until ON used_ids (until);

-- What has changed lately, for those who follow wallets.
CREATE INDEX IF NOT EXISTS sagas_changed ON sagas (updated_at);
