"""Checks EventBridge schedule expressions before a deploy does.

Grammar: EventBridge user guide, "Setting a schedule pattern for scheduled rules (legacy)": `rate(value unit)` and
`cron(minutes hours day-of-month month day-of-week year)`.
"""

import re
from dataclasses import dataclass

_RATE = re.compile(r"rate\(([1-9]\d*) (minutes?|hours?|days?)\)")
_CRON = re.compile(r"cron\(([^()]+)\)")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()
    special: str = ""  # pattern of what only this field knows

    def allows(self, text: str) -> bool:
        return all(self._allows_part(part) for part in text.split(","))

    def _allows_part(self, part: str) -> bool:
        if self.special and re.fullmatch(self.special, part):
            return True
        base, slash, step = part.partition("/")
        if slash and not (step.isdecimal() and 1 <= int(step) <= self.highest):
            return False
        if base == "*":
            return True
        bounds = [self._number(bound) for bound in base.split("-")]
        return len(bounds) <= 2 and None not in bounds

    def _number(self, text: str) -> int | None:
        if text.upper() in self.names:
            return self.lowest + self.names.index(text.upper())
        return int(text) if text.isdecimal() and self.lowest <= int(text) <= self.highest else None


_FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day-of-month", 1, 31, special=r"\?|L|LW|([1-9]|[12]\d|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 1, 7, _WEEKDAYS, special=r"\?|L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"),
    _Field("year", 1970, 2199),
)


def checked_schedule_expression(expression: str) -> str:
    """The expression itself. Raises ValueError that says what is wrong with it."""
    if (rate := _RATE.fullmatch(expression)) is not None:
        value, unit = rate.groups()
        if (value == "1") == unit.endswith("s"):
            raise ValueError(
                "should have a singular unit with 1 and a plural one otherwise: rate(1 hour), rate(15 minutes)"
            )
        return expression
    cron = _CRON.fullmatch(expression)
    if cron is None:
        raise ValueError("should be cron(minutes hours day-of-month month day-of-week year) or rate(number unit)")
    values = cron[1].split()
    if len(values) != len(_FIELDS):
        raise ValueError(f"should have the six fields {' '.join(field.name for field in _FIELDS)}; has {len(values)}")
    for field, value in zip(_FIELDS, values, strict=True):
        if not field.allows(value):
            raise ValueError(f"{field.name} should lie in {field.lowest} to {field.highest}; is {value}")
    if (values[2] == "?") == (values[4] == "?"):
        raise ValueError("exactly one of day-of-month and day-of-week should be ?")
    return expression
