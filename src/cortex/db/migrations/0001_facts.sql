-- Facts and their revisions. Times are RFC 3339 in UTC with microseconds and Z (27 characters): text order is time order.

CREATE TABLE migration (
    number     INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT;

-- change_seq grows with every commit; commit_token names the last one, so that the outcome of a failed COMMIT can be
-- looked up afterwards.
CREATE TABLE file_state (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    change_seq   INTEGER NOT NULL,
    commit_token BLOB NOT NULL
) STRICT;
INSERT INTO file_state VALUES (1, 0, x'');

-- Facts refer to the number, so a rename touches one row and no index.
CREATE TABLE project (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- tail is the id's hex digits reversed: an index for the suffixes by which people name facts.
CREATE TABLE fact (
    id          TEXT PRIMARY KEY,
    tail        TEXT NOT NULL,
    project_id  INTEGER NOT NULL REFERENCES project (id),
    erased_at   TEXT,
    scrubbed_at TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX fact_tail ON fact (tail);
CREATE INDEX fact_unscrubbed ON fact (id) WHERE erased_at IS NOT NULL AND scrubbed_at IS NULL;

-- What was believed: content never changes, retired_at ends the belief. (log, idx) is the ledger entry that recorded
-- it, (retired_log, retired_idx) the one that ended it. rev names the revision by clock and origin.
CREATE TABLE revision (
    id          INTEGER PRIMARY KEY,
    fact_id     TEXT NOT NULL REFERENCES fact (id),
    project_id  INTEGER NOT NULL REFERENCES project (id),
    number      INTEGER NOT NULL,
    rev         TEXT NOT NULL UNIQUE,
    parent      TEXT,
    content     TEXT NOT NULL,
    type        TEXT NOT NULL,
    tags        TEXT NOT NULL,
    key         TEXT,
    source      TEXT,
    meta        TEXT,
    confidence  TEXT NOT NULL,
    valid_from  TEXT NOT NULL,
    valid_until TEXT,
    thread      TEXT,
    seq         INTEGER,
    actor       TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    retired_at  TEXT,
    salt        BLOB NOT NULL,
    log         INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    retired_log INTEGER,
    retired_idx INTEGER,
    fingerprint INTEGER NOT NULL,
    grams       TEXT,
    UNIQUE (fact_id, number)
) STRICT;
CREATE INDEX revision_project ON revision (project_id, id);
CREATE INDEX revision_slot ON revision (project_id, key, valid_from) WHERE key IS NOT NULL;
CREATE INDEX revision_thread ON revision (project_id, thread, seq) WHERE thread IS NOT NULL;
CREATE INDEX revision_fingerprint ON revision (fingerprint) WHERE retired_at IS NULL;
CREATE INDEX revision_entry ON revision (log, idx);

-- Full text with external content: a contentless table would keep the tokens of what is forgotten.
CREATE VIEW revision_text AS
SELECT id, content, coalesce(key, '') || ' ' || tags AS labels, grams, 'p' || project_id AS project FROM revision;
CREATE VIRTUAL TABLE revision_fts USING fts5 (
    content, labels, grams, project,
    content = 'revision_text', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO revision_fts (revision_fts, rank) VALUES ('secure-delete', 1);

-- One row per file that was imported, with how far it got: an interrupted import goes on where it stopped.
CREATE TABLE import_run (
    id          TEXT PRIMARY KEY,
    project_id  INTEGER NOT NULL REFERENCES project (id),
    name        TEXT NOT NULL,
    format      TEXT NOT NULL,
    digest      BLOB NOT NULL,
    salt        BLOB NOT NULL,
    position    INTEGER NOT NULL,
    stored      INTEGER NOT NULL,
    duplicates  INTEGER NOT NULL,
    skipped     INTEGER NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT,
    log         INTEGER NOT NULL,
    idx         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX import_run_open ON import_run (digest) WHERE finished_at IS NULL;
