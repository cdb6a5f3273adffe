"""Every error that a state of the workflow can end with, by type.

    TraceSummarizationError
    |-- RetryableError               another attempt can help
    |   |-- ClickHouseUnavailable    refused, reset, timed out on the way
    |   |-- ClickHouseTimeout        the query ran into its time limit
    |   |-- ModelUnavailable         refused, reset, timed out, 5xx, and no time left to try again
    |   |-- ModelRateLimited         429, and no time left to try again
    |   |-- ModelAnsweredNothing     no choice, no content: there is nothing to repair
    |   |-- InvalidModelOutput       not JSON, not the schema, cut off, and not repaired
    |   |-- FailurePlaceUnavailable  the bucket of broken records did not take one
    |   |-- SecretUnavailable        the secret store or parameter store did not answer
    |   `-- SpendingUnavailable      the ledger of what a run has spent did not answer
    |-- EmbeddingNotQueued           counted with its trace, never ends a state
    |   `-- EmbeddingRequestRefused  too large: the broker takes others
    `-- FinalError                   another attempt would end the same way
        |-- InvalidInput             what the caller gave
        |-- InvalidAllowlist         the team allowlist parameter
        |-- InvalidConfiguration     a secret, an environment variable
        |-- ClickHouseAtCapacity     more load would make it worse: a later run recovers
        |-- ClickHouseQueryFailed    rejected: SQL, schema, rights
        |-- ModelRejectedRequest     4xx other than 429, and 429 for an exhausted quota
        |   `-- EmbeddingModelUnknown  the endpoint has no such model
        |-- ModelInputTooLong        the trace does not fit the model's context or its limit per minute
        |-- ModelRefused             a refusal or the content filter
        |-- ModelOutputCutOff        the answer did not fit its limit, nor did one asked to be shorter
        |-- EmbeddingInputRejected   a text that the embedding model does not take: never ends a batch
        |-- BudgetExhausted          the run's cap leaves no money for a call: the trace is skipped
        `-- UnexpectedError          a fault of our own: the type and place are logged, not the message

The class name is the error name that Step Functions sees. `Retry` lists `retryable_error_names()`.
"""


class TraceSummarizationError(Exception):
    """Base of all errors that the application raises itself."""


class RetryableError(TraceSummarizationError):
    """Another attempt can help."""


class FinalError(TraceSummarizationError):
    """Another attempt would end the same way."""


class ClickHouseUnavailable(RetryableError):
    """ClickHouse could not be reached or the connection broke. Raised by the ClickHouse adapter."""


class ClickHouseTimeout(RetryableError):
    """A query ran into `max_execution_time` or the client's timeout. Raised by the ClickHouse adapter."""


class ModelUnavailable(RetryableError):
    """The model's endpoint could not be reached, timed out or answered 5xx. Raised by the model adapter.

    After 5xx it has tried again itself, as far as the time allowed; the state machine tries again later.
    """


class ModelRateLimited(RetryableError):
    """The model's endpoint answered 429. Raised by the model adapter, which has waited as far as the time allowed."""


class ModelAnsweredNothing(RetryableError):
    """The endpoint answered 200 without a choice or without content. Raised by the model adapter.

    Nothing was said that a repair could show: the state machine asks again.
    """


class InvalidModelOutput(RetryableError):
    """The model answered with something that is not JSON, outside the schema or cut off, and did not repair it.

    Retried by the state machine: models do not answer the same way twice, and what kept it from a repair may pass.
    """


class FailurePlaceUnavailable(RetryableError):
    """A broken record could not be kept: it must not be acknowledged. Raised by the failure place's adapter."""


class SecretUnavailable(RetryableError):
    """The secret store or the parameter store did not answer. Raised by the secrets adapter."""


class SpendingUnavailable(RetryableError):
    """The ledger of what a team's run has spent did not answer; nothing was paid. Raised by the spending adapter."""


class InvalidInput(FinalError):
    """The execution's input breaks the contract; the message names field, value and what is allowed."""


class InvalidAllowlist(FinalError):
    """The team allowlist is not a JSON array of team ids. Raised by PlanRun."""


class InvalidConfiguration(FinalError):
    """An environment variable or a secret is missing or malformed; the message names it, never its value."""


class ClickHouseAtCapacity(FinalError):
    """ClickHouse refuses more queries. No state retries it: the load would make it worse; a later run recovers."""


class ClickHouseQueryFailed(FinalError):
    """ClickHouse rejected a statement (SQL, schema, rights, memory). Raised by the ClickHouse adapter."""


class ModelRejectedRequest(FinalError):
    """The model's endpoint answered 4xx other than 429, or 429 for a quota that waiting does not refill.

    Raised by the model adapter, after it has left out what the endpoint does not take.
    """


class ModelInputTooLong(FinalError):
    """The request is longer than the model's context or its limit per minute. Raised by the model adapter."""


class ModelRefused(FinalError):
    """The model refused, or the provider's content filter stopped the request or the answer."""


class ModelOutputCutOff(FinalError):
    """The answer was cut off at the output limit, and so was a second one that was asked to be shorter."""


class EmbeddingModelUnknown(ModelRejectedRequest):
    """The endpoint says that it has no embedding model of this name. Raised by the embedding model's adapter."""


class EmbeddingInputRejected(FinalError):
    """The endpoint answered 400, 413 or 422 to a request for embeddings: at least one of its texts is not taken.

    Raised by the embedding model's adapter; who asked looks for the text by halving, and does without it.
    """


class BudgetExhausted(FinalError):
    """The cap of the team's run leaves no money for this call; nothing was paid. Never ends a state: a skip reason."""


class UnexpectedError(FinalError):
    """An exception that none of the above foresees. Its message is withheld: it could quote traced content."""


class EmbeddingNotQueued(TraceSummarizationError):
    """An embedding request was not confirmed by the broker. Counted with its trace; the summary stays."""


class EmbeddingRequestRefused(EmbeddingNotQueued):
    """The fault lies with this request and would be the same another time: others may be taken."""


def retryable_error_names() -> list[str]:
    """Names of all errors that another attempt can help, sorted: the application's part of every `Retry`."""
    return sorted(error.__name__ for error in RetryableError.__subclasses__())
