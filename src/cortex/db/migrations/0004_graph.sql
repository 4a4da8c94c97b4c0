-- The graph of entities, derived from the revisions that are believed; nothing here is in the ledger. An entity is a name
-- within a project, whatever its letter case: key is the folded name. It is there as long as a fact mentions it.

CREATE TABLE entity (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    key        TEXT NOT NULL,
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    facts      INTEGER NOT NULL,
    UNIQUE (project_id, key)
) STRICT;

-- The ways in which an entity is written and taken; the one that most facts have is shown. stated: by a caller.
CREATE TABLE entity_form (
    id        INTEGER PRIMARY KEY,
    entity_id INTEGER NOT NULL,
    name      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    stated    INTEGER NOT NULL,
    facts     INTEGER NOT NULL,
    UNIQUE (entity_id, name, kind, stated)
) STRICT;

-- place is the entity's number within its fact. Entities at most so many places apart are mentioned with each other.
CREATE TABLE mention (
    revision_id INTEGER NOT NULL,
    entity_id   INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    form_id     INTEGER NOT NULL,
    PRIMARY KEY (revision_id, entity_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX mention_entity ON mention (entity_id, revision_id, place);

CREATE TABLE relation (
    revision_id INTEGER NOT NULL,
    subject_id  INTEGER NOT NULL,
    predicate   TEXT NOT NULL,
    object_id   INTEGER NOT NULL,
    PRIMARY KEY (revision_id, subject_id, predicate, object_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX relation_pair ON relation (subject_id, object_id, predicate, revision_id);

-- Two entities that some fact joins, in both directions, with how many facts mention them together and how many
-- relations are stated between them: so the strongest neighbours of an entity are read without counting.
CREATE TABLE link (
    entity_id INTEGER NOT NULL,
    other_id  INTEGER NOT NULL,
    together  INTEGER NOT NULL,
    related   INTEGER NOT NULL,
    strength  INTEGER NOT NULL GENERATED ALWAYS AS (together + 2 * related) VIRTUAL,
    PRIMARY KEY (entity_id, other_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_strength ON link (entity_id, strength DESC, other_id);
