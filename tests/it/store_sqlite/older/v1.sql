-- Schema 1. Times are milliseconds since 1970 by SQLite's clock, and amounts are whole units.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE wallets (
    id       TEXT PRIMARY KEY NOT NULL,
    npub     TEXT NOT NULL,
    mint_url TEXT NOT NULL,
    unit     TEXT NOT NULL,
    UNIQUE (npub, mint_url, unit)
) STRICT;

-- The next NUT-13 counter of each keyset. It only ever grows.
CREATE TABLE counters (
    wallet TEXT NOT NULL REFERENCES wallets (id),
    keyset TEXT NOT NULL,
    next   INTEGER NOT NULL CHECK (next BETWEEN 0 AND 4294967295),
    PRIMARY KEY (wallet, keyset)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER counters_grow BEFORE UPDATE ON counters
WHEN NEW.next < OLD.next OR NEW.wallet <> OLD.wallet OR NEW.keyset <> OLD.keyset
BEGIN SELECT RAISE(ABORT, 'a counter never goes back'); END;

CREATE TABLE sagas (
    id                 TEXT PRIMARY KEY NOT NULL,
    wallet             TEXT NOT NULL REFERENCES wallets (id),
    kind               TEXT NOT NULL CHECK (kind IN ('melt', 'mint', 'receive')),
    producer           TEXT NOT NULL,
    command_id         TEXT NOT NULL,
    intent_key         TEXT,
    request_hash       TEXT NOT NULL,
    command            TEXT NOT NULL CHECK (json_valid(command)),
    payment_hash       TEXT,
    reply_to           TEXT,
    -- The claims: the same values while they are held, NULL once they are let go.
    claim_payment_hash TEXT CHECK (claim_payment_hash IS NULL OR claim_payment_hash = payment_hash),
    claim_intent_key   TEXT CHECK (claim_intent_key IS NULL OR claim_intent_key = intent_key),
    version            INTEGER NOT NULL CHECK (version BETWEEN 0 AND 999999),
    head_hash          TEXT NOT NULL,
    state              TEXT NOT NULL,
    status             TEXT NOT NULL CHECK (status IN ('active', 'owing', 'parked', 'done')),
    fence              INTEGER NOT NULL CHECK (fence >= 1),
    lease_owner        TEXT,
    lease_until        INTEGER,
    attempts           INTEGER NOT NULL CHECK (attempts BETWEEN 0 AND 4294967295),
    next_attempt_at    INTEGER,
    last_error         TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    UNIQUE (producer, command_id),
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK ((status = 'done') = (next_attempt_at IS NULL))
) STRICT;

CREATE UNIQUE INDEX sagas_by_payment_hash ON sagas (claim_payment_hash)
    WHERE claim_payment_hash IS NOT NULL;
CREATE UNIQUE INDEX sagas_by_intent ON sagas (producer, claim_intent_key)
    WHERE claim_intent_key IS NOT NULL;
CREATE INDEX sagas_due ON sagas (next_attempt_at, id) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX sagas_by_wallet ON sagas (wallet, id);

CREATE TRIGGER sagas_advance BEFORE UPDATE ON sagas
WHEN NEW.version < OLD.version OR NEW.fence < OLD.fence
BEGIN SELECT RAISE(ABORT, 'a saga never goes back'); END;

-- The log. The id is `<saga>:<seq, 6 digits>`, so it is unique exactly when (saga, seq) is.
CREATE TABLE saga_events (
    id        TEXT PRIMARY KEY NOT NULL CHECK (id = saga || ':' || format('%06d', seq)),
    saga      TEXT NOT NULL REFERENCES sagas (id),
    seq       INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 999999),
    name      TEXT NOT NULL,
    body      TEXT NOT NULL,
    private   TEXT,
    prev_hash TEXT NOT NULL,
    hash      TEXT NOT NULL
) STRICT;

-- Only the private half may ever change, and only to nothing.
CREATE TRIGGER saga_events_are_final BEFORE UPDATE ON saga_events
WHEN NEW.private IS NOT NULL OR NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.body <> OLD.body
    OR NEW.prev_hash <> OLD.prev_hash OR NEW.hash <> OLD.hash
BEGIN SELECT RAISE(ABORT, 'an event never changes'); END;

CREATE TRIGGER saga_events_stay BEFORE DELETE ON saga_events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;

-- What is still to be published: subject and body are the event's own.
CREATE TABLE outbox (
    id TEXT PRIMARY KEY NOT NULL REFERENCES saga_events (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE proofs (
    y                     TEXT PRIMARY KEY NOT NULL,
    wallet                TEXT NOT NULL REFERENCES wallets (id),
    keyset                TEXT NOT NULL,
    counter               INTEGER NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
    amount                INTEGER NOT NULL CHECK (amount >= 0),
    c                     TEXT NOT NULL,
    e                     TEXT NOT NULL,
    s                     TEXT NOT NULL,
    state                 TEXT NOT NULL
                          CHECK (state IN ('unspent', 'reserved', 'pending', 'spent')),
    saga                  TEXT REFERENCES sagas (id),
    token_id              TEXT NOT NULL,
    transaction_type      TEXT NOT NULL
                          CHECK (transaction_type IN ('minted', 'received', 'sent', 'change')),
    transaction_id        TEXT NOT NULL,
    parent_transaction_id TEXT,
    spent_at              INTEGER,
    CHECK ((state = 'unspent') = (saga IS NULL)),
    CHECK ((state = 'spent') = (spent_at IS NOT NULL))
) STRICT;

CREATE INDEX proofs_by_state ON proofs (wallet, state);

-- The second line behind the guard in each UPDATE: spent is final, and a coin stays what it is.
CREATE TRIGGER proofs_are_final BEFORE UPDATE ON proofs
WHEN OLD.state = 'spent' OR NEW.y <> OLD.y OR NEW.wallet <> OLD.wallet OR NEW.c <> OLD.c
    OR NEW.amount <> OLD.amount OR NEW.keyset <> OLD.keyset OR NEW.counter <> OLD.counter
BEGIN SELECT RAISE(ABORT, 'a spent proof never changes'); END;

CREATE TRIGGER proofs_stay BEFORE DELETE ON proofs
BEGIN SELECT RAISE(ABORT, 'a proof is never deleted'); END;

CREATE TRIGGER proofs_are_not_born_spent BEFORE INSERT ON proofs
WHEN NEW.state = 'spent'
BEGIN SELECT RAISE(ABORT, 'a proof is never born spent'); END;
