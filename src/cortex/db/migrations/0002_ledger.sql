-- The ledger: an append-only log of leaves, RFC 9162 tree over it, signed checkpoints. No text is ever in it.

-- One row per log held in this file; the active one is ours to append to. head, range, ts, clock are the state that an
-- append needs, so that it costs the same at any size. checkpoints counts the rows of ledger_checkpoint; the last of
-- them is of sealed_size entries and of the time sealed_at.
CREATE TABLE ledger_log (
    id          INTEGER PRIMARY KEY,
    log         TEXT NOT NULL,
    origin      TEXT NOT NULL UNIQUE,
    vkey        TEXT NOT NULL,
    active      INTEGER NOT NULL CHECK (active IN (0, 1)),
    size        INTEGER NOT NULL,
    head        BLOB NOT NULL,
    range       BLOB NOT NULL,
    ts          TEXT NOT NULL,
    clock       INTEGER NOT NULL,
    checkpoints INTEGER NOT NULL,
    sealed_size INTEGER NOT NULL,
    sealed_at   TEXT
) STRICT;
CREATE UNIQUE INDEX ledger_log_active ON ledger_log (log) WHERE active = 1;

-- The leaves of the transactions logs. The hashed bytes are encoded anew from these columns at every check, so an
-- edit of any column is found.
CREATE TABLE transactions (
    log     INTEGER NOT NULL REFERENCES ledger_log (id),
    idx     INTEGER NOT NULL,
    v       INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT,
    project TEXT,
    rev     TEXT,
    parent  TEXT,
    digest  BLOB,
    actor   TEXT NOT NULL,
    ts      TEXT NOT NULL,
    batch   INTEGER NOT NULL,
    batch_n INTEGER NOT NULL,
    prev    BLOB NOT NULL,
    hash    BLOB NOT NULL,
    PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_subject ON transactions (subject);
CREATE INDEX transactions_rename ON transactions (log, idx) WHERE kind = 'rename';

-- A courtesy to those who edit by hand; what defends the log is the hashes.
CREATE TRIGGER transactions_keep BEFORE UPDATE ON transactions
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER transactions_stay BEFORE DELETE ON transactions
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

-- Roots of complete subtrees of 2^8 leaves and up: a proof reads a few hundred rows, not the whole log.
CREATE TABLE ledger_node (
    log   INTEGER NOT NULL REFERENCES ledger_log (id),
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (log, level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_checkpoint (
    log            INTEGER NOT NULL REFERENCES ledger_log (id),
    seq            INTEGER NOT NULL,
    tree_size      INTEGER NOT NULL,
    tree_root      BLOB NOT NULL,
    note           TEXT NOT NULL,
    external_proof BLOB,
    created_at     TEXT NOT NULL,
    PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
