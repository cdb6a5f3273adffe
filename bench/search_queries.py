"""Makes `bench/search_queries.json`: what people could look for in the sample traces, and what they should find.

    python -m bench.search_queries

`bench/search_tasks.json` tells which task each trace is a run of, as its source labels it (`bench/SOURCES.md`: sources
and licences). Queries are taken from that and from the events as they were recorded, never from summaries; which of
many, a hash decides. What is relevant follows from rules:

- `exact` (ids, codes, files, models): all traces of the team whose events hold the text as it stands, as a word. Paths
  are those of the machines on which the traces were recorded.
- `question`: the same texts within a question, in one of three forms.
- `trace id`: the trace itself.
- `error` (messages of failed steps): all traces of the team whose events hold the text, in capitals or not.
- `tool`: all traces of the team in which the tool is called.
- `task`: the request in the user's own words, of one run. Relevant are all runs of the same task, and all traces whose
  events hold these words.
- `paraphrase`: a request in other words, written by hand below. Relevant are the runs of the tasks that are named with
  it, or the traces whose events hold the request that is.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.event_files import RecordedTrace, read_traces
from trace_summarization.text_repr import render_trace
from trace_summarization.text_repr.lines import Kind

SAMPLES: Final = Path("samples")
QUERIES: Final = Path(__file__).with_name("search_queries.json")
_TASKS: Final = Path(__file__).with_name("search_tasks.json")
_SHORTEST_REQUEST: Final = 3  # words
_LONGEST_REQUEST: Final = 30
_LONGEST_ERROR: Final = 150  # characters
_FIRST_TURNS: Final = 5
_MOST_RELEVANT_SHARE: Final = 0.5  # of the team's traces: what more of them hold tells none from another
_QUESTIONS: Final = (
    "why did {} fail yesterday",
    "find the conversation about booking {} involving grandmother",
    "please show the conversation where a colleague mentioned {} last Tuesday",
)
_IDS_PER_TEAM: Final = 5
_ERRORS_PER_TEAM: Final = 14
_TASKS_PER_TEAM: Final = {1: 20, 2: 3, 3: 16, 4: 10, 5: 6}

_CALLED: Final = re.compile(r"[^:\n]{0,40}calls: ([\w.-]+)\(")
# Of each team: what to look for, as it is written in the events, and how many.
_EXACT: Final[Mapping[int, Sequence[tuple[str, int]]]] = {
    1: [
        (r"(?=[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])(?!HAT\d)[A-Z0-9]{6}", 8),  # reservations
        (r"[a-z]+_[a-z]+_\d{4}", 6),  # users
        (r"HAT\d{3}", 4),  # flights
        (r"(?:gift_card|credit_card|certificate)_\d{7}", 4),
    ],
    2: [(r"(?!a/|b/)(?:\w+/)+\w+\.py", 4), (r"[A-Z]\w+(?:Error|Warning)", 3), (r"[a-z]+(?:_[a-z]+){2,}", 3)],
    3: [(r"(?:claude|gpt|gemini|command|llama|deepseek|o\d)-[\w.-]*\d[\w.-]*\w", 8), (r"order-\d+|[A-Z]-\d{4}", 3)],
    4: [(r"/root/\w+/[\w.-]+\w", 6), (r"@[a-z-]+/[a-z-]+", 2)],
    5: [(r"(?:gpt|gemini|claude)-[\w.-]*\d[\w.-]*\w", 4)],
}
_TOOLS: Final = {1: 8, 3: 8, 4: 8, 5: 4}


@dataclass(frozen=True)
class Query:
    """One query of a team, and the ids of the traces that should be found. `half`: to choose by, or to judge by."""

    text: str
    kind: str
    team_id: int
    relevant: tuple[str, ...]

    @property
    def half(self) -> str:
        """`development` or `held-out`, by a hash of the text."""
        return "development" if _hash(self.text) % 2 else "held-out"


@dataclass(frozen=True)
class _Trace:
    recorded: RecordedTrace
    task: str  # runs of one task have the same

    @property
    def id(self) -> str:
        return self.recorded.trace_id

    @cached_property
    def said(self) -> str:
        """See `said_in`."""
        return said_in(self.recorded)

    @cached_property
    def said_evenly(self) -> str:
        """The same with single blanks, without case."""
        return " ".join(self.said.split()).casefold()

    @cached_property
    def requests(self) -> list[str]:
        """The user's turns."""
        turns: list[str] = []
        for line in render_trace(self.id, self.recorded.events).parts:
            if line.kind is Kind.USER and line.is_entry:
                turns.append(line.text.partition(": ")[2])
        return turns

    @cached_property
    def tools(self) -> set[str]:
        """Names of the tools that are called, in a message or as a step."""
        lines = render_trace(self.id, self.recorded.events).parts
        names = {called[1] for line in lines if line.kind is Kind.CALL and (called := _CALLED.match(line.text))}
        for event in self.recorded.events:
            if event.event == "$ai_span":
                given = event.properties.get("$ai_input_state")
                passed_on = given.get("tool_name") if isinstance(given, dict) else None
                names.add(str(passed_on or event.properties.get("$ai_span_name")))
        return names

    @cached_property
    def errors(self) -> list[str]:
        """What failed, as recorded."""
        errors = (event.properties.get("$ai_error") for event in self.recorded.events)
        return [error for error in errors if isinstance(error, str)]


def made_queries() -> list[Query]:
    """The list, made anew from the samples."""
    return list(_queries(_traces()))


def write_queries() -> int:
    """Write the list; the number of queries."""
    queries = made_queries()
    lines = ",\n".join(json.dumps(asdict(query), ensure_ascii=False) for query in queries)
    QUERIES.write_text(f"[\n{lines}\n]\n")
    return len(queries)


def read_queries() -> list[Query]:
    """The shipped list."""
    return [Query(**{**query, "relevant": tuple(query["relevant"])}) for query in json.loads(QUERIES.read_text())]


def said_in(trace: RecordedTrace) -> str:
    """All that the properties of the trace's events hold: keys and values, a line each."""
    values = (value for event in trace.events for value in event.properties.values())
    return "\n".join(leaf for value in values for leaf in _leaves(value))


def _traces() -> Mapping[int, list[_Trace]]:
    tasks = json.loads(_TASKS.read_text())
    teams: dict[int, list[_Trace]] = defaultdict(list)
    for recorded in read_traces(SAMPLES):
        teams[recorded.team_id].append(_Trace(recorded, tasks[recorded.trace_id]))
    return teams


def _queries(teams: Mapping[int, list[_Trace]]) -> Iterator[Query]:
    seen: set[tuple[int, str]] = set()
    for team_id, traces in sorted(teams.items()):
        for query in (
            *(exact := list(_exact(team_id, traces))),
            *_questions(exact),
            *_by_id(team_id, traces),
            *_tools(team_id, traces),
            *_errors(team_id, traces),
            *_tasks(team_id, traces),
            *_paraphrases(team_id, traces),
        ):
            key = (team_id, query.text.casefold())
            if key not in seen and 1 <= len(query.relevant) <= _MOST_RELEVANT_SHARE * len(traces):
                seen.add(key)
                yield query


def _exact(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    for pattern, number in _EXACT[team_id]:
        whole = re.compile(rf"(?<![\w/.@-]){pattern}(?![\w/-])")
        found = {text for trace in traces for text in whole.findall(trace.said)}
        holding = ((text, _holding(traces, text)) for text in _by_hash(found))
        few = ((text, ids) for text, ids in holding if len(ids) <= _MOST_RELEVANT_SHARE * len(traces))
        yield from (Query(text, "exact", team_id, ids) for text, ids in islice(few, number))


def _questions(exact: Iterable[Query]) -> Iterator[Query]:
    for query in exact:
        question = _QUESTIONS[_hash(query.text) % len(_QUESTIONS)].format(query.text)
        yield Query(question, "question", query.team_id, query.relevant)


def _by_id(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    ids = _by_hash(trace.id for trace in traces)
    yield from (Query(id_, "trace id", team_id, (id_,)) for id_ in ids[:_IDS_PER_TEAM])


def _tools(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    names = {name for trace in traces for name in trace.tools if re.fullmatch(r"[A-Za-z]+(?:[_-][A-Za-z]+)+", name)}
    calling = ((name, _ids(trace for trace in traces if name in trace.tools)) for name in _by_hash(names))
    few = [(name, ids) for name, ids in calling if len(ids) <= _MOST_RELEVANT_SHARE * len(traces)]
    yield from (Query(name, "tool", team_id, ids) for name, ids in few[: _TOOLS.get(team_id, 0)])


def _errors(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    """Messages as they stand, and what of them is the same for other ids and numbers."""
    texts: set[str] = set()
    for error in {error for trace in traces for error in trace.errors}:
        within = re.search(r'"message": "([^"\\]+)', error)
        message = within[1] if within else re.sub(r"^(?:returncode \d+: |Error: )+", "", error).split("\n")[0]
        if len(message) > _LONGEST_ERROR:
            message = message[:_LONGEST_ERROR].rpartition(" ")[0]
        parts = (message, max(re.split(r"\S*[\d'\"\\{}\[\]<>]\S*", message), key=len))
        texts |= {part.strip(" ,.:;-") for part in parts}
    for text in islice((text for text in _by_hash(texts) if len(text.split()) >= _SHORTEST_REQUEST), _ERRORS_PER_TEAM):
        even = " ".join(text.split()).casefold()
        yield Query(text, "error", team_id, _ids(trace for trace in traces if even in trace.said_evenly))


def _tasks(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    runs: dict[str, list[_Trace]] = defaultdict(list)
    for trace in traces:
        runs[trace.task].append(trace)
    asked: list[Query] = []
    for task in _by_hash(runs):
        one = min(runs[task], key=lambda trace: _hash(trace.id))
        text = _request(one)
        if text:
            even = " ".join(text.split()).casefold()
            same = _ids(trace for trace in traces if trace.task == task or even in trace.said_evenly)
            asked.append(Query(text, "task", team_id, same))
    # Tasks with several runs first: they say more of a ranking.
    asked.sort(key=lambda query: len(query.relevant) == 1)
    yield from asked[: _TASKS_PER_TEAM[team_id]]


def _request(trace: _Trace) -> str:
    """The most telling sentence that the user begins with: the longest of the first turns, cut at 30 words."""
    turns = [turn.removeprefix("<pr_description>").strip() for turn in trace.requests[:_FIRST_TURNS]]
    sentences = [sentence for turn in turns for sentence in re.split(r"(?<=[.!?])\s+", turn) if "{" not in sentence]
    longest = max(sentences, key=len, default="").split()[:_LONGEST_REQUEST]
    return " ".join(longest) if len(longest) >= _SHORTEST_REQUEST else ""


def _paraphrases(team_id: int, traces: Sequence[_Trace]) -> Iterator[Query]:
    for text, named in _PARAPHRASES[team_id]:
        wanted = [named] if isinstance(named, str) else named
        ids = _ids(
            trace
            for trace in traces
            if any(trace.task == each or each.casefold() in trace.said_evenly for each in wanted)
        )
        if not ids:
            raise ValueError(f"no trace of team {team_id} for {wanted}")
        yield Query(text, "paraphrase", team_id, ids)


def _holding(traces: Sequence[_Trace], text: str) -> tuple[str, ...]:
    whole = re.compile(rf"(?<![\w-]){re.escape(text)}(?![\w-])")
    return _ids(trace for trace in traces if text in trace.said and whole.search(trace.said))


def _ids(relevant: Iterable[_Trace]) -> tuple[str, ...]:
    return tuple(sorted(trace.id for trace in relevant))


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield str(value)


def _by_hash(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (_hash(text), text))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


# By hand: a request in other words than those of the trace, and the task (or a text that only its traces hold).
_PARAPHRASES: Final[Mapping[int, Sequence[tuple[str, str | Sequence[str]]]]] = {
    1: [
        ("repeat an earlier Chicago to Philadelphia trip, this time with a companion",
         ["airline-32", "airline-8", "airline-relaxed-8"]),
        ("get home from the Denver trip as quickly as possible on the day of departure", "airline-3"),
        ("upset gold customer missed a business appointment because her plane was late", "airline-37"),
        ("wants damages since the plane was called off and a meeting was missed", "airline-40"),
        ("complains about an earlier late plane while buying tickets from California to New York",
         ["airline-46", "airline-2"]),
        ("thinks that the policy pays for the penalty of moving both legs", "airline-24"),
        ("coverage does not show up on the booking and should be put on afterwards", "airline-36"),
        ("move the Atlanta to Philadelphia trip one day later at the lowest fare", ["airline-7", "airline-6"]),
        ("give up every trip that takes longer than three hours", "airline-33"),
        ("flatters the agent as very generous while giving up two bookings", "airline-27"),
        ("take one person off a group booking, otherwise put everybody into a lower class", "airline-15"),
        ("trip collides with a private appointment, wants all the money back", "airline-39"),
        ("how much luggage a member of a higher tier may bring along", "airline-44"),
        ("fell ill and claims a cover that the booking does not have", "airline-42"),
        ("put my own name on somebody else's seat and bring three suitcases", ["airline-4", "airline-5"]),
        ("direct connection to Nevada wanted on a ticket that cannot be modified", "airline-13"),
        ("haggles over a partial repayment, from half down to a tenth", "airline-18"),
        ("give back tickets from Orlando to Charlotte", "airline-12"),
        ("urgent trouble at home as the reason for wanting the fare back", "airline-35"),
        ("an agency said that no policy was needed", "airline-49"),
        ("wants the premium returned but keeps flying", "airline-38"),
        ("leave Texas later in the evening or early the next morning", "airline-1"),
        ("better seats for two people with a spending limit", "airline-14"),
        ("raise the fare class first so that the trip may be given up", "airline-34"),
        ("next to cheapest ticket to San Francisco after dropping an Orlando trip", "airline-25"),
        ("postpone Houston to Seattle by a day in a better cabin within a budget", "airline-17"),
        ("swap to a direct connection from Las Vegas and leave the suitcase at home", "airline-20"),
        ("fly to Seattle but not before eleven, paid with vouchers", "airline-0"),
        ("a French speaker gives up all trips", "airline-28"),
        ("bought the same day twice by accident", ["airline-31", "airline-30"]),
    ],
    2: [
        ("the version report should list the parallel computing library as well", "scikit-learn__scikit-learn-14141"),
        ("keeping cross validation results fails for a ridge classifier", "scikit-learn__scikit-learn-10297"),
        ("dividing by nothing when a support vector machine keeps no vectors", "scikit-learn__scikit-learn-14894"),
        ("the provider refuses because the daily allowance is used up",
         ["pallets__flask-5014", "astropy__astropy-14096"]),
    ],
    3: [
        ("getting over a road, then over a river", "how do I cross the street"),
        ("customer wants money back for a purchase", ["refund on order-", "lookup_refund_policy for"]),
        ("convert dollars into euros", ["usd/eur exchange rate", "exchange rate from usd to eur",
                                        "usd to eur exchange rate"]),
        ("sum of two and two", ["what is 2+2", "what is 2 + 2", "what's 2+2"]),
        ("a tool hands over a recording or picture to be described", "test_multimodal_tool_return_matrix"),
        ("greeting of a single word", ["say hello in one word", "say hi in one word"]),
        ("biggest Mexican town", ["largest city in mexico", "largest city in the user country"]),
        ("South American sweets at home", "alfajores"),
        ("mistyped name of a model", ["test_model_name_suggestion", "test_inferred_model_name_suggestion"]),
        ("reasoning strength that is not on offer", "test_anthropic_explicit_effort_xhigh_unsupported_model_errors"),
        ("tale about a woodland animal", "a fox exploring a forest"),
        ("who of the relatives is the smallest in years", "who is the youngest"),
        ("give back precisely this sum of money", "return exactly this payment amount"),
        ("add up a column of an uploaded table by running code",
         "test_anthropic_code_execution_files_cache_prefix_stable"),
        ("list of ascending numbers", "count from 1 to 30"),
        ("state forms of consistency of distributed storage", ["what is the cap theorem"]),
        ("summary of a film on the web", ["explain me this video", "what is in this video"]),
    ],
    4: [
        ("how to get better at a tactical shooter", "reach Radiant in Valorant"),
        ("body mass of a person in a spreadsheet", "Sophia Moore's bmi"),
        ("cooking menu for a few guests with a shopping list", "potluck dinner"),
        ("which characters and equipment suit the middle of the map", "play mid lane in League of Legends"),
        ("what an Apple phone costs in an online shop", "standard iphone prices"),
        ("compare publications about browsing agents", "paper webarena, mind2web"),
        ("morning overview of the economy and shares", "daily financial brief"),
        ("look up a trading card with its strength and image", "Sky Striker Ace"),
        ("official pollution measurements of a city as a table", "New York's Air Quality report"),
        ("which charting library is safest and smallest", "echarts-for-react, react-chartjs-2"),
        ("office document on a Chinese maker of electric cars", "NIO Company Overview"),
        ("what is known of a local version control folder", "repository details in the /root/git"),
        ("button must stay greyed out until a form is complete", "using shadcn/ui to build"),
        ("gadgets that are worth the money at present", "consumer electronics that are worth buying"),
        ("find the mail of a client in a table", "Sheryl Meyers"),
        ("most popular graphics cards with where to buy them", "best selling gpus"),
        ("is this part of Manhattan a good place to live", "considering relocating to New York"),
        ("bad press on cryptocurrency and the mood of the market", "negative news about Bitcoin"),
        ("artificial intelligence headlines", "big news in AI today"),
        ("what is left of a salary, drawn as a chart and in dollars", "after-tax income last month"),
    ],
    5: [
        ("explain a product for watching language model applications", "what is langfuse?"),
        ("forecast for a Japanese city", "weather in tokyo"),
        ("forecast for the American west coast", ["weather in san francisco", "weather like today in san francisco"]),
        ("advertising figures by campaign", "month over month performance insights"),
        ("humour about coders", "joke about 'programming'"),
        ("sightseeing in Catalonia", "trip to Barcelona"),
        ("markup of a page with a headline", "making a simple website"),
        ("salutation and farewell at once", "greet and say goodbye"),
    ],
}  # fmt: skip


if __name__ == "__main__":
    print(f"{write_queries()} queries in {QUERIES}")
