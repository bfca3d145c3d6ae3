-- The operator's desk: contradictions are counted pass by pass, and mints can be paused.

ALTER TABLE sagas ADD COLUMN doubt_code TEXT;
ALTER TABLE sagas ADD COLUMN doubt_passes INTEGER
    CHECK ((doubt_passes IS NULL) = (doubt_code IS NULL));

CREATE TABLE mints (
    mint_url  TEXT PRIMARY KEY NOT NULL,
    paused_by TEXT NOT NULL,
    reason    TEXT NOT NULL,
    paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
