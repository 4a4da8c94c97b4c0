"""Every bound in Cortex and how they relate. Nothing grows without one of these names."""

# Text that callers give, in bytes of UTF-8 unless the name says otherwise.
CONTENT_BYTES_MAX = 1 << 20
QUERY_BYTES_MAX = 1 << 20
QUERY_TERMS_MAX = 64
META_BYTES_MAX = 64 << 10
META_DEPTH_MAX = 32
NAME_CHARS_MAX = 128
KEY_CHARS_MAX = 512
SOURCE_CHARS_MAX = 2048
TYPE_CHARS_MAX = 64
TAG_CHARS_MAX = 128
TAGS_MAX = 64
SEQ_MAX = (1 << 53) - 1

# Requests.
BATCH_FACTS_MAX = 1_000
BATCH_BYTES_MAX = 16 << 20
PAGE_MAX = 1_000
PAGE_DEFAULT = 50
PAGE_BYTES_MAX = 16 << 20
TOP_K_MAX = 200
TOP_K_DEFAULT = 10
CONTEXT_MAX = 10
SNIPPET_CHARS = 240
SNIPPET_TEXT_CHARS_MAX = 4_000
ID_PREFIX_CHARS_MIN = 4
CURSOR_CHARS_MAX = 512

# Finding by meaning. A passage is what an embedder reads at a time.
DIMENSION_MIN = 8
DIMENSION_MAX = 4096
PASSAGE_CHARS = 900
PASSAGES_MAX = 1_200
HEADING_CHARS_MAX = 200
WINDOW_TURN_CHARS_MAX = 8_000
WINDOW_SIDE_EMBEDDED_CHARS = 600
LIST_DEPTH = 100
CANDIDATES_MIN = 200
CANDIDATES_ONE_IN = 200
SHORTLIST_MIN = 64
SHORTLIST_ONE_IN = 1_000
EXACT_MAX = 1_000
SEGMENT_VECTORS = 4_096
# The graph of vectors beside the file: from how many vectors on there is one, how many candidates it names, how much a
# filter has to let through for it to be asked, how much may be newer than it, and how long the one who makes it may be
# silent. Then the pause after one was made, since forgetting a fact takes it away.
SIDECAR_FROM = 500_000
SIDECAR_FROM_MAX = 1_000_000_000
SIDECAR_CANDIDATES_MIN = 1_000
SIDECAR_CANDIDATES_ONE_IN = 1_000
SIDECAR_SHARE_ONE_IN = 4
SIDECAR_NEWER_ONE_IN = 4
SIDECAR_CLAIM_SECONDS = 60
SIDECAR_PAUSE_SECONDS = 600
EMBED_BATCH = 32

# The local model: what it reads of a text, and what is fetched and taken in to have it.
LOCAL_TOKENS_MAX = 256
LOCAL_TEXT_CHARS = 64 * LOCAL_TOKENS_MAX
MODEL_HEADER_BYTES_MAX = 1 << 20
MODEL_DOWNLOAD_BYTES_MAX = 256 << 20
MODEL_ARCHIVE_MEMBERS_MAX = 1_000
MODEL_PULL_SECONDS = 900
MODEL_PULL_SECONDS_MAX = 3_600
MODEL_QUICKSTART_SECONDS = 60
MODEL_LEFTOVER_SECONDS = 2 * MODEL_PULL_SECONDS_MAX
# Of what a program said that was to fetch the model: how much is read, and how much of its last complaint is told.
MODEL_SAID_BYTES_MAX = 1 << 20
MODEL_SAID_CHARS = 200

# An embedder behind HTTP.
ENDPOINT_TIMEOUT_MS = 10_000
ENDPOINT_TIMEOUT_MS_MIN = 100
ENDPOINT_TIMEOUT_MS_MAX = 600_000
ENDPOINT_BYTES_MAX = 32 << 20
ENDPOINT_URL_CHARS_MAX = 2_048
ENDPOINT_KEY_CHARS_MAX = 4_096
ENDPOINT_MODEL_CHARS_MAX = 256
EMBED_BEFORE_SEARCH_MS = 1_000
QUERY_VECTORS_MAX = 512
QUERY_REMEMBERED_CHARS_MAX = 2_000
EMBEDDER_NAME_CHARS_MAX = 256
ANSWERS_MAX = 256
ANSWER_BYTES_MAX = 64 << 10
EXTRACT_BATCH = 100
EXTRACT_BATCH_BYTES = 64 << 10
EXTRACT_BEFORE_READ_SECONDS = 5
EMBEDDER_PAUSE_SECONDS_MAX = 60
APART_MAX = 16
APART_WAIT_SECONDS = 60
REFUSED_MAX = 1_000
EMBED_BEFORE_SEARCH_BYTES = 64 << 10
WORKER_STOP_SECONDS = 2
WORKER_GATHER_SECONDS = 0.01
VECTOR_CHANGES_MAX = 100_000

# Near duplicates and contradictions: how much of a text is compared, how many others are looked at and named.
LIKENESS_CHARS = 4_000
LIKENESS_BUCKET = 32
LIKENESS_CANDIDATES = 12
LIKENESS_CHANCES = 3
STORED_COMPARED_MAX = 20
SIMILAR_MAX = 5
SLOT_VALUES_LOOKED = 100
CONTRADICTS_MAX = 5

# The graph of entities. What is looked through of a text, and what is kept of one fact; entities so many places apart
# in a fact are mentioned together. Then what an answer holds, and how many links a search for a path reads.
EXTRACTED_CHARS_MAX = 64 << 10
ENTITIES_PER_FACT_MAX = 64
RELATIONS_PER_FACT_MAX = 64
ENTITY_NAME_CHARS_MAX = 200
LINK_PLACES = 8
GRAPH_DEPTH_MAX = 3
GRAPH_NODES_DEFAULT = 25
GRAPH_NODES_MAX = 200
GRAPH_EVIDENCE_MAX = 3
GRAPH_LINKS_MAX = 500
PATH_HOPS_DEFAULT = 4
PATH_HOPS_MAX = 6
PATH_LINKS_MAX = 100_000
NEAR_NAMES_MAX = 5

# Recall, in tokens as `tokens.count` counts them.
RECALL_TOKENS_DEFAULT = 1_500
RECALL_TOKENS_MIN = 64
RECALL_TOKENS_MAX = 100_000
RECALL_FACTS_MAX = 200
RECALL_FACT_CHARS = 16_000
TOOL_RESULT_TOKENS_MAX = 4_000
TOOL_RESULT_TOKENS_MIN = 512

# The writer: one transaction takes what is queued, up to these.
BATCH_OPS_MAX = 100
BATCH_WORK_MS = 10
QUEUE_OPS_MAX = 100 * BATCH_OPS_MAX
BUSY_TIMEOUT_MS = 30_000
READERS_MAX = 4
READ_QUEUE_MAX = 1_000
SCRUB_WAIT_MS = 1_000
SCHEMA_COPIES_MAX = 100

# Of what a restore undid: how many facts and how many words of the admin are named, among how many events.
RESTORE_TOLD_MAX = 1_000
RESTORE_EVENTS_MAX = 100_000

# Import and export.
IMPORT_BATCH_FACTS = 200
IMPORT_BATCH_BYTES = 4 << 20
IMPORT_FILES_MAX = 1_000
EXPORT_PROGRESS_FACTS = 1_000
IMPORT_FILE_BYTES_MAX = 4 << 30
IMPORT_LINE_BYTES_MAX = 8 << 20
IMPORT_SKIPS_SHOWN = 20
IMPORT_SNIFF_BYTES = 64 << 10
# Read whole, not line by line. Markdown becomes up to half a kilobyte of tokens for every three bytes.
IMPORT_DOCUMENT_BYTES_MAX = 64 << 20
IMPORT_MARKDOWN_BYTES_MAX = 4 << 20
IMPORT_SECTION_BYTES_MAX = CONTENT_BYTES_MAX // 4
IMPORT_PARAGRAPH_CHARS = 2_000
IMPORT_PARAGRAPH_CHARS_MAX = 64 * IMPORT_PARAGRAPH_CHARS
IMPORT_SLUG_CHARS_MAX = 64
# An earlier Cortex's file: its agents, votes and chained tables. The leaves are those under all roots together.
IMPORT_OLD_TABLES_MAX = 1_000
IMPORT_OLD_AGENTS_MAX = 10_000
IMPORT_OLD_AGENTS_BATCH = 100
IMPORT_OLD_VOTES_MAX = 100_000
IMPORT_OLD_FIELD_BYTES_MAX = 64 << 10
IMPORT_OLD_CHAIN_ROWS_MAX = 1_000_000
IMPORT_OLD_TENANTS_MAX = 10_000
IMPORT_OLD_ROOTS_MAX = 10_000
IMPORT_OLD_LEAVES_MAX = 4 * IMPORT_OLD_CHAIN_ROWS_MAX
IMPORT_OLD_SKIPS_MAX = 1_000

# The ledger.
CHECKPOINT_LEAVES = 1_000
CHECKPOINT_SECONDS = 3_600
VERIFY_CHUNK_LEAVES = 1 << 14
TEXT_CHUNK_LEAVES = 1 << 10
VERIFY_INLINE_LEAVES = 5_000
FINDINGS_MAX = 100
FINDINGS_PER_CODE_MAX = 20
# How much a finding tells of an error that nobody foresaw.
FINDING_SAID_CHARS = 200
INTEGRITY_CHECKS_MAX = 10_000
LEDGER_BATCH_MAX = 10_000
NODE_LEVEL_MIN = 8
BUNDLE_LINE_BYTES_MAX = 64 << 10
NOTE_BYTES_MAX = 32 << 10
NOTE_SIGNATURES_MAX = 64
PROOF_HASHES_MAX = 53
PROOF_EXTRA_BYTES_MAX = 4 << 10
TIMESTAMP_BYTES_MAX = 64 << 10
TIMESTAMP_ROOTS_BYTES_MAX = 1 << 20
TIMESTAMP_SECONDS = 10
TIMESTAMP_RETRY_MS = 5_000
TIMESTAMP_NAME_CHARS = 200
# What is remembered of the logs of a database, in the person's folder.
REMEMBERED_FILE_BYTES_MAX = 16 << 20
# The seed of a node's or a witness's key, in base64 behind one word.
SEED_FILE_BYTES_MAX = 256

# HTTP requests of ours under way at a time, in one process.
POSTS_MAX = 64

# How long a process waits for a lock on a file that another holds.
LOCK_SECONDS = 10

# Witnesses: trust files; what a witness is told and answers; the witness that others ask.
TRUST_FILE_BYTES_MAX = 256 << 10
TRUST_NAMES_MAX = 256
WITNESS_TIMEOUT_MS = 10_000
WITNESS_ANSWER_BYTES_MAX = 64 << 10
WITNESS_ATTEMPTS_MAX = 3
WITNESS_SAID_CHARS = 200
WITNESS_FILE_BYTES_MAX = 1 << 30
# JSON writes one byte of a note as at most six.
WITNESS_LINE_BYTES_MAX = 6 * NOTE_BYTES_MAX + 64
WITNESS_RETRY_MS = 60_000
WITNESS_GIT_SECONDS = 30
WITNESS_HEAD_BYTES_MAX = 16 << 10
WITNESS_BODY_BYTES_MAX = 64 << 10
WITNESS_PROOF_LINES_MAX = 63
WITNESS_THREADS_MAX = 32
WITNESS_IDLE_SECONDS = 10
WITNESS_REQUEST_SECONDS = 10
WITNESS_CONNECTION_SECONDS = 60
WITNESS_BUSY_MS = 5_000
WITNESSES_MAX = 16

# Verification by itself, in processes that stay: how often, how often a process looks whether it is time, how long it
# waits for its watch at its end, and how findings are told.
VERIFY_EVERY_SECONDS = 3_600
VERIFY_FULL_SECONDS = 86_400
WATCH_LOOK_SECONDS = 60
WATCH_STOP_SECONDS = 1
WATCH_NICENESS = 10
WATCH_PAUSE_SECONDS_MAX = 3_600
# When to try again after somebody ended the process that verified.
WORKER_RETRY_MS = 1_000
# How many of the transactions logs of a file are held against witnesses, the newest first.
WITNESSED_LOGS_MAX = 100
ALERT_ATTEMPTS_MAX = 3
# How often another process may be in between where the votes log is begun.
BEGIN_ATTEMPTS_MAX = 100
ALERT_PAUSE_SECONDS = 2
ALERT_SECONDS = 10
ALERT_ANSWER_BYTES_MAX = 64 << 10
ALERTS_WAITING_MAX = 100
METRIC_SERIES_MAX = 1_000
ENTRY_DIGITS_MAX = 16
VERIFY_JOBS_MAX = 4

# Votes. Roots are over complete batches of votes; a clock may be ahead by so much, a log may jump by so much without
# its admin, and no clock is believed from CLOCK_END on, since times in a log never run back.
VOTE_BATCH_LEAVES = 1_000
VOTES_BATCH_MAX = 1_000
SHOWN_VOTES = 20
REASON_BYTES_MAX = 4 << 10
EVENT_IDS_SORTED = 1 << 17
EVENT_TEXT_CHARS_MAX = 256
KEY_PROJECTS_MAX = 16
CLOCK_AHEAD_SECONDS = 120
CLOCK_JUMP_DAYS = 30
CLOCK_END = "2200-01-01T00:00:00.000000Z"

# Keys of agents and of the admin, and the receipts that agents keep. A receipt's line holds its leaf twice (as ballot
# and as text), a promise and a proof. The bounds of argon2id keep a junk file from taking all memory.
OLD_KEYS_MAX = 1_000
KEY_FILE_BYTES_MAX = 2 << 10
PASSPHRASE_CHARS_MAX = 1_024
PASSPHRASE_OPS_MAX = 16
PASSPHRASE_MEMORY_BYTES_MAX = 1 << 30
RECEIPT_LINE_BYTES_MAX = 512 << 10
RECEIPTS_BYTES_MAX = 4 << 30
RECEIPTS_MAX = 1_000_000
# How much of a file of receipts is held at a time while it is compared with the log.
RECEIPTS_PART = 1 << 10
RECEIPTS_PART_BYTES = 4 << 20
# How many lines of a file that are no receipts a verification passes over.
RECEIPTS_ODD_MAX = 1_000
# How often a file of receipts is opened anew where another process replaced it meanwhile.
RECEIPT_TRIES_MAX = 1_000

# What the command line reads of standard input or of a file given as `@FILE`: a full batch with its JSON.
CLI_INPUT_BYTES_MAX = 4 * BATCH_BYTES_MAX

# A wall clock behind the file's last entry by no more than this still sees that entry as present.
CLOCK_STEP_SECONDS = 600

# Settings. A repository's file comes with cloned code, and the parse time grows with the square of the dots
# in a key: 9 s for 64 KiB of them.
SETTINGS_FILE_BYTES_MAX = 1 << 20
REPOSITORY_SETTINGS_BYTES_MAX = 8 << 10
BUSY_TIMEOUT_MS_MAX = 600_000
CHECKPOINT_SECONDS_MAX = 366 * 86_400
AGENT_CHARS_MAX = 64
# Of how many agents a new name is looked for among how many that there are.
NEAR_AGENTS_ASKED_MAX = 10
NEAR_AGENTS_MAX = 1_000

# The Python face: how much of a name that is no method is compared with those that are.
METHOD_NAME_CHARS = 60

# What is read of a git repository to name a project.
GIT_CONFIG_BYTES_MAX = 1 << 20
GIT_POINTER_BYTES_MAX = 16 << 10

# The MCP server. A line holds a batch of facts even where JSON escapes much of it.
MCP_LINE_BYTES_MAX = 2 * BATCH_BYTES_MAX
MCP_CALLS_MAX = 200
MCP_PENDING_MAX = 2 * MCP_CALLS_MAX
MCP_ROOTS_SECONDS = 3
MCP_DRAIN_MS = 1_000
MCP_EXIT_MS = 1_800
MCP_PROGRESS_MS = 100
MCP_TEXT_CHARS_MAX = 2_047
MCP_NAME_CHARS_MAX = 60
MCP_ABRIDGED_CHARS_MIN = 256
MCP_NOTE_TOKENS = 80

# The benchmark. The bytes are what the disk must have free for each fact, in Cortex's file and in each peer's.
BENCH_FACTS_MAX = 1_000_000
BENCH_SIZES_MAX = 4
BENCH_PROBE_SECONDS = 900
BENCH_RETRIEVAL_SECONDS = 6 * 3_600
BENCH_SIMULATION_SECONDS = 3_600
BENCH_ATTACKS_SECONDS = 3_600
BENCH_DATA_BYTES_MAX = 256 << 20
BENCH_QUESTIONS_MAX = 100_000
BENCH_FACT_BYTES = 4 << 10
BENCH_VECTOR_BYTES = 4 << 10
BENCH_VOTE_BYTES = 2 << 10
BENCH_PEER_FACT_BYTES = 16 << 10
BENCH_SPARE_BYTES = 256 << 20

assert QUEUE_OPS_MAX >= BATCH_OPS_MAX, "the queue must hold at least one full batch"
assert BATCH_BYTES_MAX >= CONTENT_BYTES_MAX, "a batch must hold at least one full fact"
assert IMPORT_BATCH_FACTS <= BATCH_FACTS_MAX, "an import batch is a batch"
assert IMPORT_LINE_BYTES_MAX > CONTENT_BYTES_MAX, "a full fact fits a line"
assert NOTE_BYTES_MAX < BUNDLE_LINE_BYTES_MAX, "a note fits a line of a bundle"
assert NOTE_BYTES_MAX + 64 * WITNESS_PROOF_LINES_MAX < WITNESS_BODY_BYTES_MAX, "a witness reads a full note and proof"
assert RECEIPT_LINE_BYTES_MAX > 4 * (BUNDLE_LINE_BYTES_MAX + NOTE_BYTES_MAX), "a full receipt fits its line"
assert 1 << PROOF_HASHES_MAX > SEQ_MAX, "a proof reaches every leaf that can be counted"
assert MCP_DRAIN_MS < MCP_EXIT_MS, "calls under way are answered before the process is ended"
