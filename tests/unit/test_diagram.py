import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_summarization import constants as c
from trace_summarization.diagram import linear_diagram, safe_diagram

STEPS = ["The user asks for a refund.", "The agent looks up the order and finds that it was never paid for at all"]
LINEAR = """\
flowchart TD
  n1["The user asks for a refund"]
  n2["The agent looks up the order and finds…"]
  n1 --> n2"""

# Everything that may ever be stored: a header, nodes, edges; labels of letters, marks, digits and a few signs.
_LABEL = r'"[^"<>&;#`\\\[\]{}|@~^\x00-\x1f]{1,60}"'
WHITELIST = re.compile(
    rf"flowchart (TD|TB|BT|LR|RL)(\n  n\d+(\[{_LABEL}\]|\({_LABEL}\)|\{{{_LABEL}\}})|\n  n\d+ -->(\|{_LABEL}\|)? n\d+)+"
)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('flowchart TD\nA["Ask"] --> B("Look up")', ['n1["Ask"]', 'n2("Look up")', "n1 --> n2"]),
        ("graph LR; A[Ask]-->B{Paid?}; B -->|no| C((Stop))",
         ['n1["Ask"]', 'n2{"Paid?"}', 'n3("Stop")', "n1 --> n2", 'n2 -->|"no"| n3']),
        ("flowchart TD\nA --> B --> C", ['n1["A"]', 'n2["B"]', 'n3["C"]', "n1 --> n2", "n2 --> n3"]),
        ("flowchart TD\nA & B --> C", ['n1["A"]', 'n2["B"]', 'n3["C"]', "n1 --> n3", "n2 --> n3"]),
        ("flowchart TD\nA -- yes --> B\nB -. maybe .-> C\nC == sure ==> A\nA --no--> C",
         ['n1["A"]', 'n2["B"]', 'n3["C"]', 'n1 -->|"yes"| n2', 'n2 -->|"maybe"| n3', 'n3 -->|"sure"| n1',
          'n1 -->|"no"| n3']),
        ("```mermaid\nflowchart TD\nA[Only]\n```", ['n1["Only"]']),
        ('flowchart TD\nA["call f(x); then [go]"]', ['n1["call f(x), then go"]']),
        ('flowchart TD\nA["Größe: 名前 ✓"]', ['n1["Größe: 名前"]']),
        ("flowchart TD\nA[\"<<>>\"]", ['n1["Step 1"]']),
        ("flowchart TD\nA[one<br/>two]", ['n1["one two"]']),
        ("flowchart TD\nend1[fine]\nA[see http://evil.example/x now]", ['n1["fine"]', 'n2["see link now"]']),
    ],
)  # fmt: skip
def test_the_grammar_is_read_and_written_anew(source: str, expected: list[str]) -> None:
    header, *lines = safe_diagram(source, STEPS).split("\n")
    assert header in ("flowchart TD", "flowchart LR")
    assert [line.strip() for line in lines] == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("status >= 400 & retry < 3", "status ≥ 400 and retry under 3"),
        ("size <= 10 or a <> b", "size ≤ 10 or a ≠ b"),
        ("latency <1 s, >99.9 %", "latency under 1 s, over 99.9 %"),
        ("x<y && y>z", "x under y and y over z"),
        ("C# and F#, issue #5", "C sharp and F sharp, issue no. 5"),
        ("AT&T, R&D", "AT and T, R and D"),
        ("old -> new, a => b", "old → new, a → b"),
        ("~5 s", "about 5 s"),
        ("5 &gt; 3", "5 over 3"),
        ("<b>bold</b> #lt;i#gt;", "bold lt,i gt,"),
    ],
)
def test_signs_that_carry_meaning_are_said_in_words(label: str, expected: str) -> None:
    _, node = safe_diagram(f'flowchart TD\nA["{label}"]', STEPS).split("\n")
    assert node.strip() == f'n1["{expected}"]'


HOSTILE = [
    "",
    "A --> B",
    "sequenceDiagram\nA->>B: hi",
    "flowchart XX\nA --> B",
    "flowchart TD",
    '%%{init: {"securityLevel": "loose"}}%%\nflowchart TD\nA --> B',
    "---\ntitle: x\n---\nflowchart TD\nA --> B",
    'flowchart TD\nA --> B\nclick A "javascript:alert(1)"',
    "flowchart TD\nA --> B\nclick A call evil()",
    'flowchart TD\nA --> B\nclick A href "https://evil.example"',
    "flowchart TD\nA --> B; click A callback",
    "flowchart TD\nA[x]:::evil --> B",
    "flowchart TD\nclassDef evil fill:#f00\nA --> B",
    "flowchart TD\nclass A evil",
    "flowchart TD\nstyle A fill:url(javascript:alert(1))",
    "flowchart TD\nlinkStyle 0 stroke:red",
    "flowchart TD\nsubgraph S\nA --> B\nend",
    "flowchart TD\nA --> B %% comment",
    "flowchart TD\n%% comment\nA --> B",
    "flowchart TD\ndirection LR",
    'flowchart TD\nA@{ img: "https://evil.example/x.png" }',
    'flowchart TD\nA["unclosed',
    'flowchart TD\nA["a" onload="x"]',
    "flowchart TD\nA --> ",
    "flowchart TD\n--> A",
    "flowchart TD\nA B",
    "flowchart TD\nA[fa:fa-car] ~~~ B",
    "flowchart TD\nA --x B",
    "flowchart TD\nA['a'] --> B\n</pre><script>alert(1)</script>",
    "flowchart TD\n" + "A --> B\n" * 1_000,
    "flowchart TD\n" + "\n".join(f"A{number}" for number in range(31)),
    "flowchart TD\n" + "&".join(f"A{n}" for n in range(9)) + "-->" + "&".join(f"B{n}" for n in range(9)),
    "flowchart TD\nA" + "&A" * 3_000,
    "flowchart TD\n" + "(" * 3_000,
    "flowchart TD\nA" + " -- a" * 700,
]


@pytest.mark.parametrize("source", HOSTILE)
def test_whatever_the_grammar_does_not_know_becomes_the_steps_in_a_row(source: str) -> None:
    assert safe_diagram(source, STEPS) == LINEAR


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)",
    "<svg/onload=alert(1)>",
    "<scr<script>ipt>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;lt;img src=x onerror=alert(1)&amp;gt;",
    "#lt;script#gt;alert(1)",
    "#60;img src=x#62;",
    "\"></text><script>alert(1)</script>",
    "\"]; click n1 \"javascript:alert(1)\"; A[\"",
    "]\nclick n1 \"javascript:alert(1)\"\nB[x",
    "`javascript:alert(1)`",
    "javascript:alert(1)",
    "java\u200bscript:alert(1)",
    "JaVaScRiPt : alert(1)",
    "data:text/html;base64,PHNjcmlwdD4=",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/p.png)",
    "https://evil.example/?q=secret",
    "//evil.example/x",
    "www.evil.example",
    "evil.com/path",
    "hxxp://evil.example",
    "%%{init: {'theme': 'x'}}%%",
    "<a href='https://evil.example'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "\u202egnp.exe",
    "|\"| A --> B",
    "@{ shape: x }",
    "$$\\href{javascript:alert(1)}{x}$$",
]  # fmt: skip


TEMPLATES = [
    'flowchart TD\nA["{}"] --> B',
    "flowchart TD\nA[{}] --> B",
    "flowchart TD\nA -->|{}| B",
    "flowchart TD\n{} --> B",
    "{}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_only_the_whitelisted_grammar_comes_out(payload: str, template: str) -> None:
    for written in (safe_diagram(template.replace("{}", payload), [payload, "then"]), linear_diagram([payload])):
        assert WHITELIST.fullmatch(written), written
        assert not re.search(r"javascript:|https?:|://|evil\.com/", written, re.IGNORECASE), written


@given(st.text(max_size=300), st.lists(st.text(max_size=80), max_size=12))
def test_any_text_gives_a_diagram_of_the_whitelist(source: str, steps: list[str]) -> None:
    for written in (safe_diagram(source, steps), safe_diagram(f"flowchart TD\nA[{source}] --> B", steps)):
        assert WHITELIST.fullmatch(written), written
        assert len(written) <= c.MAX_DIAGRAM_LENGTH
