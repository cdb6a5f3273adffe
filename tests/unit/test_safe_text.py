import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.provisional import domains

from trace_summarization.safe_text import safe_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, latency < 5 s and a > b", "plain, latency < 5 s and a > b"),
        ("two\nlines\tand \x00control\x1b[31m", "two lines and control"),
        ("<b>bold</b> &lt;script&gt;alert(1)&lt;/script&gt;", "bold alert(1)"),
        ("<scr<b>ipt>x</script>", "scr ipt>x"),
        ("<img src=x onerror=alert(1)", "img src=x onerror alert(1)"),
        ("&amp;lt;i&amp;gt;x", "x"),
        ("see https://evil.example/a?b=c now", "see [link] now"),
        ("see [this](https://evil.example) and ![that](x)", "see this and that"),
        ("http:evil.example java\u200bscript:alert(1)", "[link] [link]"),
        ("//evil.example/x www.evil.example", "[link] [link]"),
        ("git clone evil.com/repo from evil.com", "git clone evil.com from evil.com"),
        ("a :// b, xjavascript: c", "a b, xjavascript c"),
        ("JavaScript: a language", "JavaScript a language"),
        ("if a<b or x<y", "if a < b or x < y"),
        ("List<String> and Map<K, List<int>>", "List[String] and Map[K, List[int]]"),
        ("f(x)[0](y) and [0](y)", "f(x)[0] (y) and 0"),
        ("if x<y && y>z or (a)<b and c>d", "if x < y && y>z or (a) < b and c>d"),
        ("std::vector<std::pair<int,int>> v, Map<a::B, vector<map<int,int>>>",
         "std::vector[std::pair[int,int]] v, Map[a::B, vector[map[int,int]]]"),
        ("The tag <title> is empty, set <API_KEY>.", "The tag [title] is empty, set [API_KEY]."),
        ("one <br> two <script> x </script>", "one two x"),
        ("2 * 3 ** 4, a**b**c, src/**/*.py", "2 * 3 ** 4, a**b**c, src/**/*.py"),
        ("**bold**, ~~gone~~ and (**both words**)", "bold, gone and (both words)"),
        ("text<b>bold</b> and <b>x</b>", "text bold and x"),
        ("{{7*7}} or {%x%}", "{ {7*7}} or { %x%}"),
        ("=1+1", "1+1"),
        ("@SUM(A1)", "SUM(A1)"),
        ("family 👨‍👩‍👧 and a\u200db", "family 👨‍👩‍👧 and ab"),
        ("mailto:a@b.example data:text/html,x", "[link] [link]"),
        ("data: 5 rows, file: missing", "data: 5 rows, file: missing"),
        ("`code` and **bold**", "code and bold"),
        ("key sk-abcdefghijklmnopqrstuvwx used", "key [secret] used"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("password: hunter2, fine", "password: [secret], fine"),
        ('{"password": "hunter2-prod"}', '{"password": "[secret]"}'),
        ("DB_PASSWORD=hunter2 OPENAI_API_KEY=abc", "DB_PASSWORD=[secret] OPENAI_API_KEY=[secret]"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [secret]"),
        ("client_secret=x1, token: y2z", "client_secret=[secret], token: [secret]"),
        ("max_tokens=4096 and tokens: 812", "max_tokens=4096 and tokens: 812"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: [secret]"),
        ("wJalrXUtnFEMI1/K7MDENG2/bPxRfiCY3EXAMPLE4KEY", "[secret]"),
        ("[reset](login.example.zone/a(1)) go", "[reset] (login.example.zone go"),
        ("evil.example.zone/phish?u=1", "evil.example.zone"),
        ("see evil.gg/login?u=1 or пример.рф/x", "see evil.gg or пример.рф"),
        ("GET 10.1.2.3:8080/x?t=1, localhost:8080/admin", "GET 10.1.2.3:8080 localhost:8080"),
        ("main.py/utils.py, app.py#L10", "main.py /utils.py, app.py #L10"),
        ("select //div/span", "select /div/span"),
        ("open \\\\evil\\share and ms-word:ofe|u|x", "open [link] and [link]"),
        ("-5-10 degrees", "−5-10 degrees"),
        ("-2+3+cmd|' /C calc'!A0", "2+3+cmd|' /C calc'!A0"),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: [secret]"),
        ("-----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY----- x", "[secret] x"),
        ("run eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "run [secret]"),
        ("commit 0123456789abcdef0123456789abcdef01234567", "commit 0123456789abcdef0123456789abcdef01234567"),
        ("aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4", "[secret]"),
        ("\u202eevil\ufeff\U000e0041", "evil"),
    ],
)  # fmt: skip
def test_text_is_stripped_of_what_must_not_be_stored(text: str, expected: str) -> None:
    assert safe_text(text, 200) == expected


_FORBIDDEN = re.compile(r"<[a-zA-Z/!?]|://|javascript:|[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", re.IGNORECASE)
_PIECES = st.sampled_from(
    ["<", ">", "&lt;", "&amp;", "script", "javascript", ":", "//", "http", "\u200b", "`", "**", "[", "](", ")", "x "]
) | st.text(st.characters(), max_size=4)


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_no_text_gets_around_it(text: str) -> None:
    stripped = safe_text(text, 100)
    assert not _FORBIDDEN.search(stripped), stripped
    assert len(stripped) <= 100
    assert stripped == " ".join(stripped.split())


@given(domains(), st.sampled_from(["/login", "?q=1", "#x", ":8080/a/b?c=d"]))
def test_no_host_keeps_the_path_behind_it(host: str, path: str) -> None:
    assert f"{host}{path}" not in safe_text(f"go to {host}{path} now", 1_000)


@pytest.mark.parametrize(
    "piece", ["-", "=", ".", "a.", "京都.", "a.bb", "//a", "1.1.", "- ", "<a<b", "a|", "x<y && ", "% "]
)
def test_no_repetition_makes_it_slow(piece: str) -> None:
    started = time.process_time()
    safe_text(piece * 3_000, 300)
    assert time.process_time() - started < 2
