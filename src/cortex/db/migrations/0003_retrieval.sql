-- What is derived from facts for finding them by meaning: vectors, windows over dialogues, marks of near duplicates.
-- All of it can be made anew from `revision`; nothing here is in the ledger.

-- What is still to be derived: task 1 vectors of a revision's passages, 2 the vector of its window, 3 its entities.
CREATE TABLE pending (
    task        INTEGER NOT NULL,
    revision_id INTEGER NOT NULL,
    PRIMARY KEY (task, revision_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE embedder (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    dimension INTEGER NOT NULL
) STRICT;

-- The vectors: codes are signed bytes, times scale a vector of length 1. kind 1 is a passage of the content (part_start
-- to part_end, in characters), 2 the window of a turn. Ids are never used twice, so that an index in memory catches up
-- with what is above the last one it saw.
CREATE TABLE vector (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    embedder_id INTEGER NOT NULL REFERENCES embedder (id),
    revision_id INTEGER NOT NULL,
    project_id  INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    part_start  INTEGER NOT NULL,
    part_end    INTEGER NOT NULL,
    retired     INTEGER NOT NULL,
    scale       REAL NOT NULL,
    codes       BLOB NOT NULL
) STRICT;
CREATE INDEX vector_revision ON vector (revision_id, kind);
CREATE INDEX vector_retired ON vector (id) WHERE retired = 1;

-- What happened to vectors after they were stored, for indexes in the memory of other processes: 1 retired, 2 removed.
CREATE TABLE vector_change (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    vector_id INTEGER NOT NULL,
    change    INTEGER NOT NULL
) STRICT;

-- Changes whenever what an index in memory knows of the file is void: ids below its last one may mean something else.
CREATE TABLE vector_epoch (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch BLOB NOT NULL
) STRICT;
INSERT INTO vector_epoch VALUES (1, randomblob(8));

-- Sign bits of many vectors in one blob (index/vector_rows.py has the form), so that a process starts without reading
-- each row.
CREATE TABLE vector_segment (
    first_id    INTEGER PRIMARY KEY,
    last_id     INTEGER NOT NULL,
    embedder_id INTEGER NOT NULL,
    packed      BLOB NOT NULL,
    digest      BLOB NOT NULL
) STRICT;

-- A believed turn with the turns before and after it in its thread.
CREATE TABLE turn_window (
    id        INTEGER PRIMARY KEY,
    before_id INTEGER,
    after_id  INTEGER
) STRICT;
CREATE VIEW window_text AS
SELECT w.id,
       concat_ws(char(10), substr(b.content, 1, 2000), r.content, substr(a.content, 1, 2000)) AS content,
       concat_ws(' ', substr(b.grams, 1, 6000), r.grams, substr(a.grams, 1, 6000)) AS grams,
       'p' || r.project_id AS project
FROM turn_window AS w
JOIN revision AS r ON r.id = w.id
LEFT JOIN revision AS b ON b.id = w.before_id
LEFT JOIN revision AS a ON a.id = w.after_id;
CREATE VIRTUAL TABLE window_fts USING fts5 (
    content, grams, project,
    content = 'window_text', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO window_fts (window_fts, rank) VALUES ('secure-delete', 1);

-- Marks that texts of mostly the same words are likely to share.
CREATE TABLE likeness (
    mark        INTEGER NOT NULL,
    revision_id INTEGER NOT NULL,
    PRIMARY KEY (mark, revision_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX likeness_revision ON likeness (revision_id);

-- When what is visible changes without a write: an answer is kept no longer than until then.
CREATE INDEX revision_begins ON revision (valid_from) WHERE valid_from > recorded_at;
CREATE INDEX revision_ends ON revision (valid_until) WHERE valid_until IS NOT NULL;

INSERT INTO pending SELECT 1, id FROM revision;
INSERT INTO pending SELECT 3, id FROM revision WHERE retired_at IS NULL;
INSERT INTO turn_window
SELECT id, lag(id) OVER turns, lead(id) OVER turns FROM revision
WHERE retired_at IS NULL AND thread IS NOT NULL AND seq IS NOT NULL
WINDOW turns AS (PARTITION BY project_id, thread ORDER BY seq, id);
DELETE FROM turn_window WHERE coalesce(before_id, after_id) IS NULL
    OR (SELECT length(content) FROM revision AS r WHERE r.id = turn_window.id) > 8000;
INSERT INTO pending SELECT 2, id FROM turn_window;
INSERT INTO window_fts (window_fts) VALUES ('rebuild');
