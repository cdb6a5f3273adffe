"""What every handler does around its one call: log failures by type, and let no traced content out in an error."""

import functools
import traceback
from collections.abc import Callable, Mapping
from typing import Any, cast

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from trace_summarization.errors import TraceSummarizationError, UnexpectedError

Event = Mapping[str, Any]
Handler = Callable[[Event, LambdaContext], dict[str, Any]]


def logged_errors(logger: Logger, message: str) -> Callable[[Handler], Handler]:
    """Log an error under `message` and raise it; one that no type foresees is raised as UnexpectedError.

    The Lambda runtime prints, and Step Functions records, what a handler raises. Our own messages name fields and
    codes; an unforeseen exception's message could quote a trace, so only its type and the lines it passed are logged.
    """

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def guarded(event: Event, context: LambdaContext) -> dict[str, Any]:
            try:
                return handler(event, context)
            except TraceSummarizationError as error:
                logger.error(message, extra={"error": type(error).__name__, "detail": str(error)})
                raise type(error)(str(error)) from None
            except Exception as error:  # noqa: BLE001 - the edge: turned into a typed error, never swallowed
                places = [
                    f"{frame.filename}:{frame.lineno} {frame.name}"
                    for frame in traceback.extract_tb(error.__traceback__)
                ]
                logger.error(message, extra={"error": type(error).__name__, "places": places})
                raise UnexpectedError(type(error).__name__) from None

        # The keys of one invocation (team, trace, run) must not stand in the log of the next.
        return cast(Handler, logger.inject_lambda_context(guarded, clear_state=True))

    return decorate
