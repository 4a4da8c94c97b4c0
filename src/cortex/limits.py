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

# The ledger.
CHECKPOINT_LEAVES = 1_000
CHECKPOINT_SECONDS = 3_600
VERIFY_CHUNK_LEAVES = 1 << 14
TEXT_CHUNK_LEAVES = 1 << 10
VERIFY_INLINE_LEAVES = 5_000
FINDINGS_MAX = 100
FINDINGS_PER_CODE_MAX = 20
LEDGER_BATCH_MAX = 10_000
NODE_LEVEL_MIN = 8
BUNDLE_LINE_BYTES_MAX = 64 << 10
NOTE_BYTES_MAX = 32 << 10
NOTE_SIGNATURES_MAX = 64
PROOF_HASHES_MAX = 53
PROOF_EXTRA_BYTES_MAX = 4 << 10

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
BENCH_FACT_BYTES = 4 << 10
BENCH_PEER_FACT_BYTES = 16 << 10
BENCH_SPARE_BYTES = 256 << 20

assert QUEUE_OPS_MAX >= BATCH_OPS_MAX, "the queue must hold at least one full batch"
assert BATCH_BYTES_MAX >= CONTENT_BYTES_MAX, "a batch must hold at least one full fact"
assert IMPORT_BATCH_FACTS <= BATCH_FACTS_MAX, "an import batch is a batch"
assert IMPORT_LINE_BYTES_MAX > CONTENT_BYTES_MAX, "a full fact fits a line"
assert NOTE_BYTES_MAX < BUNDLE_LINE_BYTES_MAX, "a note fits a line of a bundle"
assert 1 << PROOF_HASHES_MAX > SEQ_MAX, "a proof reaches every leaf that can be counted"
assert MCP_DRAIN_MS < MCP_EXIT_MS, "calls under way are answered before the process is ended"
