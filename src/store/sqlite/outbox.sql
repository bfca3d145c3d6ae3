-- What is still to be published, and how far that has come. Times are milliseconds since 1970 by
-- SQLite's clock, except for a stream's creation, which is the bus server's own to the nanosecond.

-- An event's subject, body and hashes are the event's own; a reply has its own subject and body.
CREATE TABLE outbox (
    id              TEXT PRIMARY KEY NOT NULL,
    event           TEXT NOT NULL REFERENCES saga_events (id),
    subject         TEXT,
    body            TEXT,
    written_at      INTEGER NOT NULL,
    round           INTEGER NOT NULL DEFAULT 0 CHECK (round >= 0),
    attempts        INTEGER NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 4294967295),
    next_attempt_at INTEGER,
    parked          INTEGER NOT NULL DEFAULT 0 CHECK (parked IN (0, 1)),
    last_error      TEXT,
    CHECK ((subject IS NULL) = (body IS NULL)),
    CHECK (id = CASE WHEN subject IS NULL THEN event ELSE event || ':reply' END)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    name  TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL,
    epoch INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER leases_advance BEFORE UPDATE ON leases
WHEN NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'a lease never goes back'); END;

-- One row: the highest position of which an outbox row was taken away.
CREATE TABLE relay_mark (
    one      INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    created  TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    message  TEXT NOT NULL,
    epoch    INTEGER NOT NULL
) STRICT;

CREATE TRIGGER relay_mark_is_fenced BEFORE UPDATE ON relay_mark
WHEN NEW.epoch < OLD.epoch
BEGIN SELECT RAISE(ABORT, 'a mark is its last holder''s'); END;

CREATE TABLE relay_checkpoints (
    taken_at INTEGER PRIMARY KEY NOT NULL,
    created  TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    message  TEXT NOT NULL,
    floor    INTEGER NOT NULL
) STRICT;
