-- Votes: one log of signed events (agents, keys, policies, votes, resolutions) and what apply makes of it. No reference
-- to facts: votes come in one order for all, facts in any. The rules are in cortex/trust/DESIGN.md.

-- The state of the log, one row: what an append needs, and the admin key and policy in force. votes counts the leaves of
-- kind 'vote'.
CREATE TABLE vote_log (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    origin TEXT NOT NULL,
    vkey   TEXT NOT NULL,
    admin  BLOB NOT NULL,
    policy TEXT NOT NULL,
    size   INTEGER NOT NULL,
    head   BLOB NOT NULL,
    range  BLOB NOT NULL,
    ts     TEXT NOT NULL,
    votes  INTEGER NOT NULL
) STRICT;

-- The leaves; id is the leaf's index + 1. The hashed bytes are encoded anew from these columns at every check. A vote's
-- ballot stands in columns, the event of any other kind in event. vote_weight mirrors weight_e6 for people.
CREATE TABLE vote_ledger (
    id            INTEGER PRIMARY KEY,
    kind          TEXT NOT NULL,
    fact_id       TEXT,
    agent_id      TEXT,
    vote          INTEGER,
    vote_weight   REAL,
    weight_e6     INTEGER,
    event_id      TEXT NOT NULL,
    key           BLOB,
    author        TEXT,
    fact_digest   BLOB,
    reason_digest BLOB,
    at            TEXT,
    event         TEXT,
    timestamp     TEXT NOT NULL,
    signature     BLOB NOT NULL,
    v             INTEGER NOT NULL,
    prev_hash     BLOB NOT NULL,
    hash          BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX vote_ledger_event ON vote_ledger (event_id);
CREATE INDEX vote_ledger_fact ON vote_ledger (fact_id) WHERE fact_id IS NOT NULL;
-- Few among many votes, and read by themselves: keys and their ends, resolutions.
CREATE INDEX vote_ledger_other ON vote_ledger (kind, id) WHERE kind <> 'vote';

CREATE TRIGGER vote_ledger_keep BEFORE UPDATE ON vote_ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER vote_ledger_stay BEFORE DELETE ON vote_ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;

-- Roots of complete subtrees of 2^8 leaves and up.
CREATE TABLE vote_tree (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- A row per complete 1,000 votes: the root of an RFC 9162 tree over their leaves alone. The ids are those of
-- vote_ledger.
CREATE TABLE vote_merkle_roots (
    id            INTEGER PRIMARY KEY,
    root_hash     BLOB NOT NULL,
    vote_start_id INTEGER NOT NULL,
    vote_end_id   INTEGER NOT NULL,
    vote_count    INTEGER NOT NULL,
    created_at    TEXT NOT NULL
) STRICT;

-- level: untrusted, standard, trusted, revoked. Evidence in millionths, as it was on the day (since 1970-01-01).
CREATE TABLE vote_agent (
    name       TEXT PRIMARY KEY,
    level      TEXT NOT NULL,
    for_e6     INTEGER NOT NULL,
    against_e6 INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    since      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Names that differ by case alone would be taken for one another.
CREATE UNIQUE INDEX vote_agent_name ON vote_agent (name COLLATE NOCASE);

-- Every key that was ever in the log, admin keys (agent null) too. from_idx to until_idx (null: still valid) are leaves;
-- ended says how: rotated, revoked.
CREATE TABLE vote_key (
    public    BLOB PRIMARY KEY,
    agent     TEXT,
    custody   TEXT,
    projects  TEXT,
    from_idx  INTEGER NOT NULL,
    until_idx INTEGER,
    ended     TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX vote_key_agent ON vote_key (agent);

-- What each agent holds of a text of a fact now. weight_e6 and vouched as they count, which lowering an agent's trust
-- changes; own marks the author; counted is 0 for agents that were revoked.
CREATE TABLE vote_current (
    fact      TEXT NOT NULL,
    digest    BLOB NOT NULL,
    agent     TEXT NOT NULL,
    vote      INTEGER NOT NULL,
    weight_e6 INTEGER NOT NULL,
    vouched   INTEGER NOT NULL,
    own       INTEGER NOT NULL,
    counted   INTEGER NOT NULL,
    leaf      INTEGER NOT NULL,
    PRIMARY KEY (fact, digest, agent)
) STRICT, WITHOUT ROWID;
CREATE INDEX vote_current_agent ON vote_current (agent);

-- Sums in millionths over vote_current; *_pro and *_con count agents, of positive weight where vouched. sigma_e6, score
-- (tenths under the linear rule, else null) and verdict are by the policy in force.
CREATE TABLE vote_tally (
    fact        TEXT NOT NULL,
    digest      BLOB NOT NULL,
    vouched_sum INTEGER NOT NULL,
    vouched_abs INTEGER NOT NULL,
    others_sum  INTEGER NOT NULL,
    others_abs  INTEGER NOT NULL,
    vouched_pro INTEGER NOT NULL,
    vouched_con INTEGER NOT NULL,
    counted_pro INTEGER NOT NULL,
    counted_con INTEGER NOT NULL,
    sigma_e6    INTEGER NOT NULL,
    tenths      INTEGER,
    verdict     TEXT NOT NULL,
    since       TEXT NOT NULL,
    due         TEXT,
    settled     INTEGER NOT NULL,
    resolved    INTEGER NOT NULL,
    PRIMARY KEY (fact, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX vote_tally_due ON vote_tally (due, fact, digest) WHERE due IS NOT NULL;

-- What was added to an agent's evidence for a vote; agreed is 1 or -1, amount_e6 as it was on the day.
CREATE TABLE vote_judged (
    fact      TEXT NOT NULL,
    digest    BLOB NOT NULL,
    agent     TEXT NOT NULL,
    agreed    INTEGER NOT NULL,
    amount_e6 INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    PRIMARY KEY (fact, digest, agent)
) STRICT, WITHOUT ROWID;

-- From here on: what this node alone knows.

-- One row: its checkpoints of the log, and whether the file was put back from a backup and the admin key has not said so
-- in the log yet.
CREATE TABLE vote_seal (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    checkpoints INTEGER NOT NULL,
    sealed_size INTEGER NOT NULL,
    sealed_at   TEXT,
    restored    INTEGER NOT NULL
) STRICT;

CREATE TABLE vote_checkpoints (
    id             INTEGER PRIMARY KEY,
    tree_size      INTEGER NOT NULL,
    tree_root      BLOB NOT NULL,
    note           TEXT NOT NULL,
    external_proof BLOB,
    created_at     TEXT NOT NULL
) STRICT;

-- Reasons are data like facts: only a salted digest is in the log, and they are erased with the fact.
CREATE TABLE vote_reason (
    event_id TEXT PRIMARY KEY,
    fact     TEXT NOT NULL,
    salt     BLOB NOT NULL,
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX vote_reason_fact ON vote_reason (fact);

CREATE TABLE vote_audit_exports (
    id         INTEGER PRIMARY KEY,
    created_at TEXT NOT NULL,
    actor      TEXT NOT NULL,
    path       TEXT NOT NULL,
    format     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    root_hash  BLOB NOT NULL,
    digest     BLOB NOT NULL
) STRICT;

-- log: transactions or votes; passes and findings are JSON.
CREATE TABLE vote_integrity_checks (
    id          INTEGER PRIMARY KEY,
    log         TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    ok          INTEGER NOT NULL,
    incremental INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    votes       INTEGER NOT NULL,
    passes      TEXT NOT NULL,
    findings    TEXT NOT NULL
) STRICT;
