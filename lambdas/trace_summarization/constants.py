"""Names, defaults and limits, read by the Lambdas, the infrastructure and the documentation alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

WORKFLOW_NAME: Final = "batch-trace-summarization"
COORDINATOR_WORKFLOW_NAME: Final = "batch-trace-summarization-coordinator"
SERVICE_NAME: Final = "trace-summarization"
METRICS_NAMESPACE: Final = "TraceSummarization"

# --- inputs: defaults and ranges -------------------------------------------------------------------------------------
DEFAULT_MAX_TRACES_PER_WINDOW: Final = 100
MAX_TRACES_LIMIT: Final = 1_000  # 1,000 x 21 events stays below the 25,000 history events of one execution
DEFAULT_BATCH_SIZE: Final = 5
MAX_CONCURRENCY_LIMIT: Final = 40  # an inline Map runs at most 40 iterations at once
DEFAULT_MODE: Final = "detailed"
DEFAULT_WINDOW_MINUTES: Final = 60
MAX_WINDOW_MINUTES: Final = 1_440
DEFAULT_WINDOW_LAG_MINUTES: Final = 10  # traces of the last minutes are still growing
MAX_WINDOW_LAG_MINUTES: Final = 1_440
DEFAULT_MODEL: Final = "gpt-4.1-mini"
OFFLINE_MODEL: Final = "offline-extractive"  # what answers on one machine; nobody bills it: its summaries have no cost
MAX_MODEL_NAME_LENGTH: Final = 128
DEFAULT_MAX_CONCURRENT_TEAMS: Final = 5
# USD per team and run. 100 traces of 60,000 tokens cost 2.70 with the default model: a whole default run fits, and a
# mistake (1,000 traces of a dear model every hour) stops at an amount that nobody has to explain.
DEFAULT_MAX_COST_USD: Final = 5.0
MAX_COST_USD_LIMIT: Final = 10_000
DEFAULT_MAX_INPUT_TOKENS: Final = 60_000  # about what the original's cut of the text comes to
MIN_INPUT_TOKENS_LIMIT: Final = 1_000
MAX_INPUT_TOKENS_LIMIT: Final = 1_000_000
DEFAULT_REDACTION: Final = True
MAX_TEAM_ID: Final = 2**53 - 1  # JSONPath numbers are doubles; ClickHouse's team_id is Int64

# Initial value of the team allowlist parameter. A deploy creates the parameter with it and never overwrites it.
ALLOWED_TEAM_IDS: Final[tuple[int, ...]] = ()
MAX_ALLOWED_TEAMS: Final = 500  # keeps the coordinator's history and payload within limits

# --- limits of one trace ---------------------------------------------------------------------------------------------
MAX_TRACE_DURATION_HOURS: Final = 24  # how far back a trace's first event is searched, and how far on its last
MAX_TRACE_EVENTS: Final = 5_000
MAX_TRACE_BYTES: Final = 30_000_000
MAX_TEXT_REPR_LENGTH: Final = 2_000_000  # characters
MAX_TRACE_ID_LENGTH: Final = 128  # characters; ids travel through state payloads
# Bytes of an id as JSON. 1,000 ids of this size, with what else SampleTraces returns, stay below 256 KiB.
MAX_TRACE_ID_JSON_BYTES: Final = 240
MAX_STATE_PAYLOAD_BYTES: Final = 262_144
MAX_OUTCOME_BYTES: Final = 150

# --- time, innermost first: each is smaller than the next (one attempt) -----------------------------------------------
CLICKHOUSE_MAX_EXECUTION_SECONDS: Final = 60
CLICKHOUSE_CLIENT_TIMEOUT_SECONDS: Final = 75
KAFKA_DELIVERY_TIMEOUT_SECONDS: Final = 15
# One answer with its waits, retries and repair; shortened to what the Lambda has left.
MODEL_TIMEOUT_SECONDS: Final = 170
# What a wait for money that other calls hold leaves of that time for the answer: so much, or half of what there is.
MODEL_ANSWER_SECONDS: Final = 60.0
MODEL_SHORTEST_ANSWER_SECONDS: Final = 5.0  # with less time than this left, nothing more is asked
PLAN_LAMBDA_TIMEOUT_SECONDS: Final = 30
PLAN_TIMEOUT_SECONDS: Final = 40
SAMPLE_LAMBDA_TIMEOUT_SECONDS: Final = 285
SAMPLE_TIMEOUT_SECONDS: Final = 300
GENERATE_SUMMARY_LAMBDA_TIMEOUT_SECONDS: Final = 285
GENERATE_SUMMARY_TIMEOUT_SECONDS: Final = 300
EMBED_LAMBDA_TIMEOUT_SECONDS: Final = 300  # of one batch; a Kafka event source takes functions of up to 14 minutes
SEARCH_LAMBDA_TIMEOUT_SECONDS: Final = 90
REQUEUE_LAMBDA_TIMEOUT_SECONDS: Final = 285
AGGREGATE_LAMBDA_TIMEOUT_SECONDS: Final = 105
AGGREGATE_TIMEOUT_SECONDS: Final = 120
TEAM_DEADLINE_MINUTES: Final = 110  # after it SummarizeTrace returns skipped, unpaid, so that the team still aggregates
WORKFLOW_EXECUTION_TIMEOUT_MINUTES: Final = 120
SUMMARIZE_TEAM_TIMEOUT_SECONDS: Final = 7_500
COORDINATOR_TIMEOUT_MINUTES: Final = 360


@dataclass(frozen=True)
class RetryPolicy:
    """How one state retries. `attempts` counts the first try: Step Functions' `MaxAttempts` is one less."""

    attempts: int
    interval_seconds: int
    max_delay_seconds: int
    backoff_rate: float = 2.0


SAMPLE_RETRY_POLICY: Final = RetryPolicy(attempts=3, interval_seconds=5, max_delay_seconds=60)
SUMMARIZE_RETRY_POLICY: Final = RetryPolicy(attempts=2, interval_seconds=10, max_delay_seconds=60)
AGGREGATE_RETRY_POLICY: Final = RetryPolicy(attempts=3, interval_seconds=5, max_delay_seconds=60)
COORDINATOR_CHILD_WORKFLOW_RETRY_POLICY: Final = RetryPolicy(attempts=2, interval_seconds=60, max_delay_seconds=300)
# Faults of the Lambda service itself (throttling, its own errors): nothing of ours ran, so more patience costs nothing.
LAMBDA_SERVICE_RETRY_POLICY: Final = RetryPolicy(attempts=4, interval_seconds=2, max_delay_seconds=60)

# --- money -----------------------------------------------------------------------------------------------------------
# Output tokens of one summary, for the price of a dry run: the upper end of what models were seen to answer.
EXPECTED_OUTPUT_TOKENS: Final = {"detailed": 900, "minimal": 450}
# What a model that reasons is expected to take besides, by the effort that it is asked with. Assumed, not measured.
EXPECTED_REASONING_TOKENS: Final = {"none": 0, "minimal": 100, "low": 500}
EXPECTED_REASONING_TOKENS_OF_OTHERS: Final = 1_500  # models that reason and take no effort: theirs is not told
# Tokens of a request besides the trace's text: instructions, schema, and in a repair the answer that could not be used.
PROMPT_TOKENS_LIMIT: Final = 6_000
# A reservation older than a Lambda can live is never given back: nobody waits for it.
RESERVATION_LIFETIME_SECONDS: Final = GENERATE_SUMMARY_TIMEOUT_SECONDS
LEDGER_RETENTION_DAYS: Final = 30  # longer than any run, so that a ledger can be looked into; then DynamoDB deletes it

# --- what one request to the model may take ---------------------------------------------------------------------------
# Well above a usual summary (detailed 700 to 1,200 tokens, minimal half of it), below one that is at all its limits
# (2,600): a budget sets aside for each request the most that its answer can cost, and an answer that is cut off is
# asked for again in a shorter form.
MAX_OUTPUT_TOKENS: Final[Mapping[str, int]] = {"detailed": 2_000, "minimal": 1_000}
# Reasoning counts as output. At low effort it rarely takes more than a few thousand tokens, also on long input.
REASONING_OUTPUT_TOKENS: Final = 6_000
MODEL_RETRIES: Final = 2  # after 429 and 5xx, within one attempt; the state machine retries with more patience
MODEL_RETRY_WAIT_SECONDS: Final = 1.0  # where the answer names no time; doubled by each retry, jittered
# Flex answers late or not at all: what it may use of the time, so that the standard tier can still answer.
FLEX_SHARE_OF_TIME: Final = 0.5
MAX_REPAIRED_ANSWER_LENGTH: Final = 8_000  # characters of an invalid answer that the model is shown again

# --- what a summary leaves behind ------------------------------------------------------------------------------------
EVENT_NAME_TRACE_SUMMARY: Final = "$ai_trace_summary"
AI_EVENT_NAMES: Final = (
    "$ai_trace",
    "$ai_generation",
    "$ai_span",
    "$ai_embedding",
    "$ai_evaluation",
    "$ai_metric",
    "$ai_feedback",
)  # what counts as trace activity; summaries never do
SUMMARY_ID_NAMESPACE: Final = UUID("6f1a9c1e-52a4-5d0e-9a5a-6a1f0d3b7c58")  # of the summary events' UUIDv5 ids
PROMPT_VERSION: Final = "3"

EMBEDDING_TOPIC: Final = "document_embeddings_input"
EMBEDDING_MESSAGE_VERSION: Final = 1
EMBEDDING_PRODUCT: Final = "llm-analytics"
EMBEDDING_DOCUMENT_TYPE: Final = "llm-trace-summary"
DEFAULT_EMBEDDING_MODELS: Final = ("text-embedding-3-small-1536",)
OFFLINE_EMBEDDING_MODEL: Final = "offline-wordllama-256"  # what one machine embeds with; nobody bills it
MAX_KAFKA_MESSAGE_BYTES: Final = 1_048_576
# Properties of a summary event that are longer hold no summary: an embedding request built from less fits a message.
MAX_STORED_SUMMARY_BYTES: Final = 1_000_000
MAX_KEYWORDS_LENGTH: Final = 8_000  # characters: names, errors and ids by which a trace is found besides its summary

# --- embeddings: what one request to the model may take ---------------------------------------------------------------
# OpenAI, "Create embeddings": 2,048 inputs and 300,000 tokens a request, 8,192 tokens an input.
MAX_EMBEDDING_INPUTS: Final = 2_048
MAX_EMBEDDING_REQUEST_TOKENS: Final = 300_000
MAX_EMBEDDING_INPUT_TOKENS: Final = 8_191
EMBEDDING_REQUEST_SECONDS: Final = 60.0  # then it counts as lost: the next one may be answered in one
EMBEDDING_SHORTEST_ANSWER_SECONDS: Final = 2.0  # with less time than this left after a wait, the wait is not begun
EMBEDDING_RETRIES: Final = 3  # after 5xx and resets, within one call of the model
EMBEDDING_SHORTEST_RETRY_WAIT_SECONDS: Final = 0.2  # where the answer names less; doubled by each retry, jittered
EMBEDDING_LONGEST_RETRY_WAIT_SECONDS: Final = 30.0  # where the answer names no time

# --- sizes of a summary, enforced on what the model answers -----------------------------------------------------------
MAX_TITLE_WORDS: Final = 10
MAX_TITLE_LENGTH: Final = 120
MAX_ITEM_LENGTH: Final = 600
MAX_DIAGRAM_LENGTH: Final = 4_000
MAX_LINE_REFS_LENGTH: Final = 100
