"""The team settings parameter: what teams may spend and send, and prices of a deployment's own models.

    {"default": {"max_cost_usd": 5.0, "max_input_tokens": 60000, "redaction": true},
     "teams": {"3": {"max_cost_usd": 1.0}},
     "prices": {"my-model": {"input": 0.1, "cached_input": 0.05, "output": 0.4}}}

Everything is optional. A run takes a value from its input, else from its team, else from `default`, else from
`constants.py`.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator

from trace_summarization import constants as c
from trace_summarization.errors import InvalidConfiguration
from trace_summarization.models import ModelPrice
from trace_summarization.prices import model_price

_UsdPerMillion = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
_TeamKey = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,15}$")]
_ModelName = Annotated[str, Field(min_length=1, max_length=c.MAX_MODEL_NAME_LENGTH, pattern=r"^[\w./:@-]+$")]

NO_SETTINGS: Final = "{}"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_StrictT = TypeVar("_StrictT", bound=_Strict)


class TeamLimits(_Strict):
    """What was set for one team, or for all."""

    max_cost_usd: float | None = Field(None, gt=0, le=c.MAX_COST_USD_LIMIT, allow_inf_nan=False)
    max_input_tokens: int | None = Field(None, ge=c.MIN_INPUT_TOKENS_LIMIT, le=c.MAX_INPUT_TOKENS_LIMIT)
    redaction: StrictBool | None = None


class StatedPrice(_Strict):
    """A price in USD per million tokens. `cached_input` costs as `input` when it is left out."""

    input: _UsdPerMillion
    output: _UsdPerMillion
    cached_input: _UsdPerMillion | None = None
    flex: bool = False

    @model_validator(mode="after")
    def _cached_costs_no_more(self) -> Self:
        # What is set aside for a call assumes that nothing is cached: that has to be the dearest case.
        if self.cached_input is not None and self.cached_input > self.input:
            raise ValueError(f"cached_input {self.cached_input:g} is above input; allowed is at most {self.input:g}")
        return self


class TeamSettings(_Strict):
    """The whole parameter."""

    default: TeamLimits = TeamLimits()
    teams: Mapping[_TeamKey, Any] = {}  # checked by `of_team`: one team's mistake costs one team
    prices: Mapping[_ModelName, StatedPrice] = {}

    def of_team(self, team_id: int) -> TeamLimits:
        """What holds for a team: its own values before the default's.

        Raises InvalidConfiguration naming the path of each value of the team that is not allowed.
        """
        own = _checked(TeamLimits, self.teams.get(str(team_id), {}), f"teams.{team_id}")
        stated = own.model_dump(exclude_none=True)
        return self.default.model_copy(update=stated)

    def model_prices(self) -> dict[str, ModelPrice]:
        """The deployment's own prices, by model."""
        return {
            name: model_price(
                repr(stated.input),
                None if stated.cached_input is None else repr(stated.cached_input),
                repr(stated.output),
                stated.flex,
            )
            for name, stated in self.prices.items()
        }


def parse_team_settings(text: str) -> TeamSettings:
    """The settings, checked but for each team's own.

    Raises InvalidConfiguration naming the path of each value that is not allowed.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConfiguration("team settings: not JSON; allowed is an object such as {}") from error
    if not isinstance(document, dict):
        raise InvalidConfiguration(f"team settings: {type(document).__name__} is no object; allowed is {{}}")
    return _checked(TeamSettings, document)


def _checked(model: type[_StrictT], document: Any, *path: str) -> _StrictT:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, (*path, *each['loc'])))}: {each['msg']}" for each in error.errors()[:10])
        raise InvalidConfiguration(f"team settings: {'; '.join(problems)}") from error
