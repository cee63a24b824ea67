"""`spanlog ui`: what it answers, whom it refuses, and its pages in a real browser."""

import base64
import contextlib
import json
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import hypothesis
import pytest
import spanlog
import sqlalchemy as sa
from hypothesis import strategies as st
from spanlog.runtime import current_store, default
from spanlog.store import database
from spanlog.store.figures import Figures, Used
from spanlog.store.filters import parse_filter
from spanlog.ui import charts
from view_traces import SCRIPT, picture, record_agent, record_hostile

pytest.importorskip("starlette", reason="starlette is the server's framework")
pytest.importorskip("uvicorn", reason="uvicorn is the server")
pytest.importorskip("httpx2", reason="it drives the server")
from spanlog.ui import server
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

COMMAND = [sys.executable, "-c", "from spanlog.cli import main; main()", "ui"]


@pytest.fixture
def client():
    with TestClient(server.app(), base_url="http://localhost:7788") as client:
        yield client


@pytest.fixture
def address(tmp_path):
    """Serve the test's store in a process of its own, as users do; nothing may fail in it."""
    spanlog.flush()
    command = [*COMMAND, "--port", "0", "--store", str(tmp_path / "spanlog.db")]
    current_store()  # makes it
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process.stdout.readline().split()[0]
        process.terminate()
        assert "Traceback" not in process.stderr.read()


@pytest.fixture
def opened(browser, address):
    """Return what opens a page, in which no error may happen and which fetches nothing else."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    shown, faults, fetched = context.new_page(), [], []
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.on("request", lambda request: fetched.append(request.url))

    def open_(path="#/"):
        shown.goto(f"{address}/{path}")
        return shown

    yield open_
    context.close()
    assert faults == []
    assert [url for url in fetched if not url.startswith((address, "data:"))] == []


def record(name, error=None, **about):
    with contextlib.suppress(ValueError), spanlog.start_span(name) as span:
        span.set_inputs({"question": f"what is {name}?"})
        spanlog.update_current_trace(**about)
        if error:
            raise ValueError(error)
        span.set_outputs(f"this is {name}")
    return span.trace_id


def at(second, *models, name="trace", took=None, status="OK"):
    """Record a trace that began in a second since 1970, with a call of a token count a model."""
    began = second * 10**9
    trace = spanlog.start_span_no_context(name, start_time_ns=began)
    for model, tokens in models:
        used = {"gen_ai.request.model": model, "gen_ai.usage.input_tokens": tokens}
        call = spanlog.start_span_no_context(
            model, "CHAT_MODEL", trace, attributes=used, start_time_ns=began
        )
        call.end(end_time_ns=began)
    if took is not None:
        trace.end(status=status, end_time_ns=began + took * 10**6)
    return trace.trace_id


def names(shown):
    return shown.locator("tbody .name").all_text_contents()


# Whom it answers.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "127.0.0.1:7788"}, 200),
        ({"host": "[::1]:7788"}, 200),
        ({"host": "localhost:99"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example:7788"}, 403),
        ({"host": "localhost@evil.example"}, 403),
        ({"host": "["}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "\xbd"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:7788"}, 200),
        ({"origin": "http://localhost:5000"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_it_answers_its_own_pages_on_this_machine_only(client, headers, status):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert client.get("/api/traces", headers=encoded).status_code == status


def test_it_speaks_no_websockets(client):
    for path in ("/", "/assets/app.js", "/api/traces"):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path):
            pass


def test_a_link_from_elsewhere_may_open_the_page_itself(client):
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_it_listens_on_the_loopback_interface_and_takes_another_port_if_one_is_taken():
    with server._listening(0) as one, server._listening(one.getsockname()[1]) as two:
        assert {one.getsockname()[0], two.getsockname()[0]} == {"127.0.0.1"}
        assert one.getsockname()[1] != two.getsockname()[1]


def test_it_listens_before_it_loads_what_reads_the_store():
    check = "import spanlog.cli.app, spanlog.ui.server, sys; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_without_a_store_it_says_so_and_makes_none(tmp_path):
    command = [*COMMAND, "--store", str(tmp_path / "none.db")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no trace store at" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_every_reply_forbids_scripts_and_requests_from_elsewhere(client):
    for path in ("/", "/view/trace.js", "/api/traces"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy


def test_no_file_beside_the_assets_is_served(client):
    for path in ("/assets/../server.py", "/assets/%2e%2e/server.py", "/view/../data.py"):
        assert client.get(path).status_code == 404


def test_the_assets_ask_for_nothing_from_elsewhere():
    package = Path(server.__file__).parent.parent
    for path in [*(package / "ui" / "assets").iterdir(), *(package / "display" / "view").iterdir()]:
        source = path.read_text("utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://\w", source), path
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", source
        )


# What it answers.


def test_the_list_is_filtered_by_what_is_written_and_chosen(client):
    record("one", tags={"env": "prod"})
    record("two", error="no")
    spanlog.set_experiment("other")
    record("three")

    def found(**asked):
        reply = client.get("/api/traces", params=asked).json()
        return [trace["name"] for trace in reply["found"]]

    assert sorted(found()) == ["one", "three", "two"]
    assert found(filter="tags.env = 'prod' OR name = 'none'") == ["one"]
    assert found(status="ERROR") == ["two"]
    assert found(status="ERROR", filter="name = 'one' OR name = 'three'") == []
    assert found(experiment=client.get("/api/experiments").json()[-1]["id"]) == ["three"]
    assert found(since=2**45) == []
    assert found(order="name ASC") == ["one", "three", "two"]


def test_the_list_comes_in_pages_that_new_traces_do_not_move(client):
    made = [at(n, took=1) for n in range(51)]
    spanlog.flush()
    one = client.get("/api/traces").json()
    new = at(99, took=1)
    two = client.get("/api/traces", params={"token": one["token"]}).json()
    assert [trace["id"] for trace in one["found"] + two["found"]] == made[::-1]
    assert two["token"] is None
    assert client.get("/api/traces").json()["found"][0]["id"] == new
    assert client.get("/api/traces", params={"token": "x"}).status_code == 400


def test_a_filter_that_does_not_parse_says_where(client):
    reply = client.get("/api/traces", params={"filter": "nme = 'x'"})
    assert reply.status_code == 400
    assert "Did you mean name?" in reply.json()["error"]


@pytest.mark.parametrize("path", ["traces/00", "traces/00/spans/11", "attachments/00"])
def test_what_is_not_there_is_not_found(client, path):
    assert client.get(f"/api/{path}").status_code == 404


def test_a_span_is_opened_by_reading_one_row(client):
    with spanlog.start_span("one") as span:
        span.set_inputs({"question": "?"})
    spanlog.flush()
    engine, asked = current_store().database.engine, []
    listen = ("before_cursor_execute", lambda *args: asked.append(args[2]))
    sa.event.listen(engine, *listen)
    got = client.get(f"/api/traces/{span.trace_id}/spans/{span.span_id}").json()
    sa.event.remove(engine, *listen)
    assert got["inputs"] == {"question": "?"}
    (query,) = (statement for statement in asked if statement.startswith("SELECT"))
    assert "WHERE spans.trace_id = ? AND spans.span_id = ?" in query


def test_a_large_value_is_cut_and_whole_when_asked_for(client):
    with spanlog.start_span("large") as span:
        span.set_outputs("x" * 1_000_000)
    path = f"/api/traces/{span.trace_id}/spans/{span.span_id}"
    assert len(client.get(path).content) < 50_000
    assert client.get(path, params={"whole": "1"}).json()["outputs"] == "x" * 1_000_000


def test_only_pictures_and_sound_are_shown_from_the_store_other_files_are_handed_over(client):
    trace = record_agent()
    (attachment,) = trace.search_spans(name="ChatOpenAI")[0].attachments
    path = f"/api/attachments/{attachment.sha256}"
    shown = client.get(path, params={"type": "image/png"})
    assert (shown.content, shown.headers["content-type"]) == (picture(), "image/png")
    for kind in ("image/svg+xml", "text/html", ""):
        handed = client.get(path, params={"type": kind})
        assert handed.headers["content-disposition"] == "attachment"
        assert handed.headers["content-type"] == "application/octet-stream"


@pytest.mark.stores
def test_charts_count_sum_and_rank_by_steps_of_time():
    for took in range(1, 11):
        at(1_000, took=took)
    at(1_001, *((f"m{n}", n + 1) for n in range(7)), took=20, status="ERROR")
    at(1_002, ("m6", 3))
    at(1_090, took=0)  # by a clock that is ahead
    spanlog.flush()
    got = charts.charts(current_store().over_time(["0"], parse_filter(""), 0, 1_040_000))
    assert (got["begin"], got["step"]) == (1_000_000, 1_000)
    assert got["traces"] == [10, 1, 1, *[0] * 37, 1]
    assert (sum(got["errors"]), got["errors"][1]) == (1, 1)
    assert [got["durations"][p][:3] for p in ("p50", "p90", "p99")] == [
        [5, 20, None],
        [9, 20, None],
        [10, 20, None],
    ]
    assert list(got["tokens"]) == ["m6", "m5", "m4", "m3", "m2", "others"]
    assert [tokens[:3] for tokens in got["tokens"].values()] == [
        [0, 7, 3],
        *([0, n, 0] for n in (6, 5, 4, 3, 3)),
    ]
    failed = current_store().over_time(["0"], parse_filter("status = 'ERROR'"), 0, 1_040_000)
    assert (failed.begin, len(failed.steps)) == (1_001_000, 1)


def test_cost_is_charted_by_model():
    used = {(1, "m"): Used(2, 0.5), (0, ""): Used(1, 0.0)}
    got = charts.charts(Figures(0, 1_000, 2, {}, used))
    assert got["cost"] == {"m": [0, 0.5], "no model": [0, 0]}


def test_charts_count_a_call_once_that_two_layers_recorded(client):
    record_agent()
    got = client.get("/api/charts").json()
    assert {model: sum(tokens) for model, tokens in got["tokens"].items()} == {"m-1": 1_290}


def test_feedback_is_given_changed_and_taken_back_but_not_that_of_others(client):
    trace_id = record("judged")
    said = {"value": True, "rationale": "so it is"}
    path = f"/api/traces/{trace_id}/feedback"
    given = client.post(path, json=said).json()["assessment_id"]
    client.put(f"{path}/{given}", json={"value": False, "rationale": ""})
    others = spanlog.log_feedback(trace_id=trace_id, value=True).assessment_id
    assert client.put(f"{path}/{others}", json=said).status_code == 403
    assert client.delete(f"{path}/{others}").status_code == 403
    assert client.delete(f"{path}/none").status_code == 404
    one, two = spanlog.get_trace(trace_id).info.assessments
    assert (one.value, one.rationale, two.value) == (False, "", True)
    client.delete(f"{path}/{given}")
    assert [a.assessment_id for a in spanlog.get_trace(trace_id).info.assessments] == [others]


# What it refuses: with one line that says why.


def token(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode()


def asked(path, **query):
    return f"/api/{path}?{urlencode(query)}"


SAY, CHANGE = "/api/traces/{trace}/feedback", "/api/traces/{trace}/feedback/{said}"
DEEP = b"[" * 10_000 + b"]" * 10_000
NEWEST = "timestamp_ms DESC"
BODIES = [
    (b"{", "not JSON"),
    (b"[]", "not a JSON object"),
    (b"1", "not a JSON object"),
    (b"null", "not a JSON object"),
    (b'"value"', "not a JSON object"),
    (b"\xff\xfe", "not JSON"),
    (b'{"value": NaN}', "not JSON"),
    (b'{"value": 1e999}', "not JSON"),
    (b'{"value": "\xff"}', "not JSON"),
    (b'{"value": "\\ud800"}', "not JSON"),
    (b'{"value": ' + DEEP + b"}", "not JSON"),
    (b"", "there is no value"),
    (b"{}", "there is no value"),
    (b'{"value": null}', "there is no value"),
    (b'{"value": 1, "rationale": 5}', "rationale is not a text"),
    (b'{"value": 1, "rationale": []}', "rationale is not a text"),
]
OF_ITS_OWN = [
    (b'{"value": 1, "name": ["a"]}', "name is not a text"),
    (b'{"value": 1, "name": 0}', "name is not a text"),
    (b'{"value": 1, "span_id": 5}', "span_id is not a text"),
    (b'{"value": 1, "span_id": {}}', "span_id is not a text"),
]
TIMES = ["1" + "0" * 30, "9" * 5_000, "-1", "1.5", "\u0663", "\xb2", "\0", "x"]
TOKENS = [
    *(b"x", b"\xff", DEEP, b'["timestamp_ms DESC", NaN, 1, "a"]'),
    *({}, None, 5, "a", [], [5], [[], []], {NEWEST: 1, "": 2, "a": 3, "b": 4}),
    *([NEWEST], [NEWEST, *"abc"], [NEWEST, None, 1, "a"], [NEWEST, True, 1, "a"]),
    *([NEWEST, 1, 1, 1], [NEWEST, [1], {}, "a"], [NEWEST, 2**63, 1, "a"], [NEWEST, 2**70, 1, []]),
    *(["", True, "a"], ["", 1, 1], ["", 1, ["a"]], ["", 2**64 - 1, "a"]),
]
SEARCHES = [
    ("name LIKE '" + "a" * 6_000 + "'", "a pattern has 5,000 characters at most"),
    ("name RLIKE '" + "(" * 6_000 + "'", "a pattern has 5,000 characters at most"),
    ("name RLIKE '[\v-\n]'", "not a regular expression"),
    ("\0", "cannot read"),
    ("tags.`\n` <", "it ends too early"),
    ("(" * 20_000, "it ends too early"),
    ("NOT " * 10_000 + "name = 'a'", "too deeply"),
    ("IN - IS NOT RLIKE 'a'", "does not parse"),
]
REFUSED = {
    "bodies": [
        *(("POST", SAY, body, 400, why) for body, why in [*BODIES, *OF_ITS_OWN]),
        *(("PUT", CHANGE, body, 400, why) for body, why in BODIES),
        *((m, p, b" " * 1_000_001, 413, "larger") for m, p in (("POST", SAY), ("PUT", CHANGE))),
        ("POST", SAY, b'{"value": 1, "span_id": "\\u0000"}', 404, "has no span"),
        ("POST", "/api/traces/%00/feedback", b'{"value": 1}', 404, "there is no trace"),
        ("PUT", f"{CHANGE}%00", b'{"value": 1}', 404, "has no assessment"),
        ("DELETE", f"{CHANGE}%00", b"", 404, "has no assessment"),
    ],
    "times": [
        *(
            ("GET", asked(path, **{name: time}), b"", 400, f"{name} is a time")
            for path in ("traces", "sessions", "charts")
            for name in ("since", "until")
            for time in TIMES
        ),
        ("GET", asked("charts", since=2, until=1), b"", 400, "since is later than until"),
        ("GET", asked("charts", since=10**14), b"", 400, "since is later than until"),
    ],
    "tokens": [
        ("GET", asked(path, token=text), b"", 400, "page token")
        for path in ("traces", "sessions")
        for text in ("%", "\0", "\u20ac", "A" * 30_000, *map(token, TOKENS))
    ],
    "filters": [
        ("GET", asked(path, filter=text), b"", 400, why)
        for path in ("traces", "sessions", "charts")
        for text, why in SEARCHES
    ],
    "orders": [
        ("GET", asked("traces", order=order), b"", 400, "order is one of")
        for order in ("", "x", "name  DESC", "name DOWN", "\0", "name," * 9_000)
    ],
    "what is not there": [
        *(
            ("GET", f"/api/{path.format(odd)}", b"", 404, "there is no")
            for path in ("traces/{}", "traces/{}/spans/0", "traces/{}/find", "attachments/{}")
            for odd in ("%00", "%0d", "%ff", "%zz", "%ED%A0%80", "%E2%80%A8", "x" * 30_000, "'")
        ),
        ("GET", "/api/traces/{trace}/spans/'", b"", 404, "there is no span"),
        *(
            ("GET", path, b"", 404, "Not Found")
            for path in (
                *("/x", "/%00", "/api", "/api/", "/api//traces", "/api/traces/%0a", "/assets"),
                *("/assets/%00", "/assets/" + "x" * 10_000, "/assets/" + "x/" * 9_000, "/view/%ff"),
                *(
                    "/assets/..%2fserver.py",
                    "/assets//etc/passwd",
                    "/assets/app.js/x",
                    "/view/..%2f",
                ),
            )
        ),
    ],
    "methods": [
        *(
            (method, path, b"", 405, "Method Not Allowed")
            for method in ("PATCH", "OPTIONS", "TRACE", "CONNECT", "X" * 1_000)
            for path in ("/", "/api/traces", SAY, CHANGE, "/assets/app.js")
        ),
        *(("GET", path, b"", 405, "Method Not Allowed") for path in (SAY, CHANGE)),
    ],
}


@pytest.fixture
def judged(client):
    """Return the ids of a trace, and of what was said of it by the server."""
    path = SAY.replace("{trace}", trace_id := record("judged"))
    said = client.post(path, json={"value": True}).json()["assessment_id"]
    return {"{trace}": trace_id, "{said}": said}


def refusal(reply):
    assert reply.headers["content-type"] == "application/json"
    said = reply.json()["error"]
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_with_one_line(client, judged, kind):
    for method, path, body, status, why in REFUSED[kind]:
        for name, id_ in judged.items():
            path = path.replace(name, id_)
        reply = client.request(method, path, content=body)
        case = (method, path[:100], body[:100], reply.text[:200])
        assert reply.status_code == status, case
        assert why in refusal(reply), case
    (said,) = spanlog.get_trace(judged["{trace}"]).info.assessments
    assert said.value is True


def test_of_a_filter_the_place_is_told_beside_the_line(client):
    said = client.get("/api/traces", params={"filter": "name = 'a' ADN"}).json()
    assert said["error"].startswith("the filter does not parse at character 11: cannot read 'ADN'")
    assert said["place"] == "name = 'a' ADN\n           ^"


def test_an_experiment_that_cannot_be_has_no_traces(client):
    record("one")
    for experiment in ("9" * 30, "9" * 5_000, "\u0660", "-0", "\0", "x"):
        assert client.get(asked("traces", experiment=experiment)).json()["found"] == []


def test_what_may_not_stand_in_a_header_is_not_the_type_of_a_reply(client):
    (attachment,) = record_agent().search_spans(name="ChatOpenAI")[0].attachments
    for kind in (
        "image/png\r\nX: y",
        "audio/\u65e5",
        "audio/\xe9",
        "video/\0",
        "video/",
        "audio/a\n",
    ):
        reply = client.get(f"/api/attachments/{attachment.sha256}", params={"type": kind})
        assert reply.headers["content-type"] == "application/octet-stream"
    shown = client.get(
        f"/api/attachments/{attachment.sha256}", params={"type": "audio/a; codecs=b"}
    )
    assert shown.headers["content-type"] == "audio/a; codecs=b"


def test_files_come_whole_whatever_part_is_asked_for(client):
    for part in ("bytes=0-1", "bytes=5-1", "bytes=-" + "9" * 5_000, "x"):
        for path in ("/", "/assets/app.js"):
            reply = client.get(path, headers={"range": part})
            assert (reply.status_code, len(reply.content) > 100) == (200, True)


def test_a_store_that_does_not_answer_is_an_error_of_one_line_until_it_does(
    client, tmp_path, monkeypatch
):
    trace_id = record("one")
    spanlog.flush()
    path = tmp_path / "spanlog.db"
    monkeypatch.setattr(database, "_PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        locked = client.post(SAY.format(trace=trace_id), json={"value": True})
    assert (locked.status_code, "database is locked" in refusal(locked)) == (503, True)
    assert client.post(SAY.format(trace=trace_id), json={"value": True}).status_code == 200
    (tmp_path / "spanlog.db-wal").unlink(missing_ok=True)
    (tmp_path / "other").write_text("no database" * 1_000)
    (tmp_path / "other").replace(path)
    for asked_for in ("experiments", "traces", f"traces/{trace_id}", "sessions", "charts"):
        reply = client.get(f"/api/{asked_for}")
        assert (reply.status_code, "not a database" in refusal(reply)) == (503, True)
    path.unlink()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(2**70),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
WORDS = st.sampled_from(
    [
        *("name", "tokens", "span.content", "feedback.a", "tags.`a`", "timestamp_ms", "audio/"),
        *(
            "=",
            "!=",
            "IN",
            "IS",
            "NOT",
            "NULL",
            "LIKE",
            "RLIKE",
            "AND",
            "OR",
            "(",
            ")",
            ",",
            "DESC",
        ),
        *("'a'", "'%a b%'", "'[a'", "-1", "1e999", "9" * 20),
    ]
)
TEXTS = (
    st.binary(max_size=30)
    | st.text(max_size=30).map(str.encode)
    | st.lists(WORDS, max_size=6).map(lambda words: " ".join(words).encode())
    | st.integers(-1, 2**70).map(lambda number: str(number).encode())
    | VALUES.map(lambda value: token(value).encode())
    | st.lists(VALUES, max_size=4).map(lambda values: token([NEWEST, *values]).encode())
)
STEPS = TEXTS | st.sampled_from(
    b"api assets view traces sessions session charts experiments attachments feedback spans find "
    b"app.js .. {trace} {said}".split()
)
PATHS = st.lists(STEPS, max_size=5) | st.sampled_from([SAY, CHANGE]).map(
    lambda path: path.encode().split(b"/")[1:]
)
NAMES = st.sampled_from(
    b"filter order token since until experiment status id text type whole".split()
)
HEADERS = st.sampled_from(
    b"host origin sec-fetch-site content-type content-length transfer-encoding range if-none-match "
    b"if-modified-since cookie accept connection upgrade".split()
)
BODY = st.dictionaries(st.sampled_from(["value", "name", "rationale", "span_id"]), VALUES) | VALUES


@pytest.mark.slow
@hypothesis.settings(max_examples=250)
@hypothesis.given(
    st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "ODD"]),
    PATHS,
    st.lists(st.tuples(NAMES | TEXTS, TEXTS), max_size=3),
    st.dictionaries(HEADERS, st.binary(max_size=30), max_size=2),
    BODY.map(lambda value: json.dumps(value).encode()) | st.binary(),
)
@pytest.mark.usefixtures("quick")
def test_any_request_is_answered_or_refused(client, judged, method, path, query, headers, body):
    steps = [judged.get(step.decode("latin-1"), step) for step in path]
    url = f"http://localhost:7788/{'/'.join(map(quote, steps))}?{urlencode(query)}"
    reply = client.request(method, url, headers=headers, content=body, follow_redirects=False)
    assert reply.status_code < 500
    if reply.status_code >= 400 and method != "HEAD":
        refusal(reply)


@pytest.mark.slow
def test_what_is_no_http_is_refused_by_the_server_which_says_nothing_of_its_own(address):
    url = urlsplit(address)
    host = f"Host: {url.netloc}\r\n".encode()
    say = b"POST /api/traces/x/feedback HTTP/1.1\r\n" + host
    for sent, status in [
        (b"garbage\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: [\r\n\r\n", b"403"),
        (b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n", b"400"),
        (b"GET /?" + b"x" * 200_000 + b" HTTP/1.1\r\n" + host + b"\r\n", b"400"),
        (b"GET http://[ HTTP/1.1\r\n" + host + b"\r\n", b"404"),
        (b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n", b"404"),
        (say + b"Content-Length: -1\r\n\r\n", b"400"),
        (say + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", b"400"),
        (say + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000, b"413"),
        (say + b"Content-Length: 9\r\n\r\n{", b""),  # and hangs up
    ]:
        with socket.create_connection((url.hostname, url.port)) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
            if not status:
                continue
            assert connection.recv(12) == b"HTTP/1.1 " + status


# In the browser.


def test_the_list_shows_traces_filters_them_and_new_ones_appear(opened):
    record("first", tags={"env": "prod"})
    record("second", error="no")
    shown = opened()
    shown.get_by_text("what is first?").wait_for()
    assert sorted(names(shown)) == ["first", "second"]
    shown.get_by_label("Status").select_option("ERROR")
    shown.locator("tbody tr", has_text="first").wait_for(state="detached")
    assert names(shown) == ["second"]
    record("third", error="no")
    spanlog.flush()
    shown.locator("tbody tr", has_text="third").wait_for()
    shown.get_by_label("Filter").fill("nme = 'x'")
    shown.keyboard.press("Enter")
    shown.get_by_text("Did you mean name?").wait_for()


def test_more_traces_are_shown_a_page_at_a_time_while_new_ones_come_on_top(opened):
    for n in range(102):
        at(n, name=f"trace {n:03}", took=1)
    spanlog.flush()
    expected = [f"trace {n:03}" for n in reversed(range(102))]
    shown = opened()
    rows, more = shown.locator("tbody tr"), shown.get_by_text("Show more")
    rows.nth(49).wait_for()
    assert names(shown) == expected[:50]
    more.click()
    rows.nth(99).wait_for()
    shown.evaluate("document.querySelector('tbody').lastChild.mark = 'same'")
    for n in range(60):  # more than a page at once
        at(1_000 + n, name=f"new {n:02}", took=1)
    spanlog.flush()
    shown.locator("tbody tr.fresh", has_text="new 59").wait_for()
    more.click()
    more.wait_for(state="hidden")
    assert names(shown) == [*(f"new {n:02}" for n in reversed(range(60))), *expected]
    assert shown.evaluate("document.querySelectorAll('tbody tr')[159].mark") == "same"


def test_a_trace_opens_and_what_was_said_of_it_is_kept(opened):
    trace = record_agent()
    shown = opened()
    shown.get_by_role("link", name="agent", exact=True).click()
    shown.locator(".row", has_text="ChatOpenAI").click()
    image = shown.locator(".details img")
    image.scroll_into_view_if_needed()
    shown.wait_for_function("image => image.naturalWidth === 64", arg=image.element_handle())
    assert trace.info.trace_id in shown.url
    shown.get_by_label("Rationale").fill("good places")
    shown.get_by_label("Good").click()
    shown.get_by_text("1 good, 0 bad").wait_for()
    (said,) = spanlog.get_trace(trace.info.trace_id).info.assessments
    assert (said.value, said.rationale, said.source.source_type) == (True, "good places", "HUMAN")
    shown.locator("input[type=search]").fill("first class")
    shown.locator(".hits", has_text="1").wait_for()


def test_a_span_is_judged_by_a_click_which_is_changed_and_taken_back(opened):
    trace = record_agent()
    shown = opened(f"#/trace/{trace.info.trace_id}")
    shown.locator(".row", has_text="lookup").click()
    shown.get_by_label("Feedback on").select_option("span")
    shown.get_by_label("Good").click()
    listed = shown.locator(".details .assessed")
    listed.locator(".good").wait_for()
    assert "spanlog ui" in listed.text_content()
    shown.get_by_label("Rationale").fill("no answer")
    shown.get_by_label("Bad").click()
    listed.locator(".bad").wait_for()
    shown.get_by_text("0 good, 1 bad").wait_for()
    (said,) = spanlog.get_trace(trace.info.trace_id).info.assessments
    lookup = trace.search_spans(name="lookup")[0].span_id
    assert (said.value, said.rationale, said.span_id) == (False, "no answer", lookup)
    shown.get_by_label("Feedback on").select_option("trace")
    assert shown.get_by_label("Bad").get_attribute("aria-pressed") == "false"
    shown.get_by_label("Feedback on").select_option("span")
    shown.get_by_label("Bad").click()
    listed.wait_for(state="detached")
    assert spanlog.get_trace(trace.info.trace_id).info.assessments == []


def test_pages_show_the_line_of_a_refusal(opened):
    trace_id = record_agent().info.trace_id
    shown = opened(f"#/trace/{trace_id}")
    shown.locator(".row", has_text="lookup").wait_for()
    spanlog.delete_traces(trace_ids=[trace_id])
    shown.get_by_label("Good").click()
    shown.locator(".feedback .said", has_text=f"there is no trace '{trace_id}'").wait_for()
    shown.locator(".row").nth(1).click()
    shown.locator(".refused", has_text="there is no span").wait_for()
    shown = opened("#/trace/00")
    shown.locator("#trouble", has_text="there is no trace 00").wait_for()


def test_a_running_trace_is_shown_open_and_goes_on(opened):
    with spanlog.start_span("long") as span:
        spanlog.flush()
        shown = opened(f"#/trace/{span.trace_id}")
        shown.locator(".state", has_text="running").wait_for()
        assert shown.locator(".row.open").count() == 1
        with spanlog.start_span("step"):
            pass
        spanlog.flush()
        shown.locator(".row", has_text="step").wait_for()
    spanlog.flush()
    shown.locator(".state", has_text="OK").wait_for()


def test_a_large_value_is_shown_whole_on_demand(opened):
    with spanlog.start_span("large") as span:
        span.set_outputs("line\n" * 400_000 + "the end")
    shown = opened(f"#/trace/{span.trace_id}")
    shown.get_by_text("Show all").click()
    shown.locator(".piece").last.wait_for(state="attached")
    assert shown.locator(".piece").last.text_content().endswith("the end")


def test_two_traces_are_compared_and_what_is_chosen_is_shown_on_both_sides(opened):
    one, two = record_agent(), record_agent()
    shown = opened(f"#/compare/{one.info.trace_id}/{two.info.trace_id}")
    left, right = (shown.locator("spanlog-trace").nth(n) for n in (0, 1))
    left.locator(".row", has_text="lookup").click()
    right.locator(".title b", has_text="lookup").wait_for()
    assert "1,234" in shown.locator(".figures").text_content()


def test_a_session_is_shown_as_a_conversation(opened):
    record("hello", session_id="it's 42")
    record("bye", session_id="it's 42")
    shown = opened("#/sessions")
    shown.get_by_text("2 traces").click()
    shown.get_by_text("this is bye").wait_for()
    turns = shown.locator(".turn > *").all_text_contents()
    assert [re.sub(r"\s+", " ", turn) for turn in turns] == [
        "what is hello?",
        "this is hello",
        "what is bye?",
        "this is bye",
    ]


def test_more_sessions_are_shown_a_page_at_a_time(opened):
    for n in range(52):
        record("turn", session_id=f"session {n}")
    spanlog.flush()
    shown = opened("#/sessions")
    shown.get_by_text("Show more").click()
    shown.locator(".session").nth(51).wait_for()
    ids = shown.locator(".session b").all_text_contents()
    assert sorted(ids) == sorted(f"session {n}" for n in range(52))


def test_charts_are_drawn(opened):
    record_agent()
    record("failing", error="no")
    shown = opened("#/charts")
    shown.locator(".chart", has_text="Tokens by model").locator("rect").first.wait_for()
    assert shown.locator(".chart").count() >= 4


def test_the_page_is_dark_or_light_as_one_wants(opened):
    shown = opened()
    colours = set()
    for _ in range(3):
        shown.locator("#theme").click()
        colours.add(shown.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_markup_in_a_trace_is_text_on_every_page(opened):
    trace = record_hostile()
    for path in ("#/", f"#/trace/{trace.info.trace_id}", "#/sessions", "#/charts"):
        shown = opened(path)
        shown.wait_for_load_state("networkidle")
        assert shown.evaluate("window.harm") is None
    shown = opened("#/")
    shown.get_by_text(SCRIPT).first.wait_for()
    assert shown.locator("img[src=x]").count() == 0


def test_a_search_that_takes_too_long_is_refused_and_holds_up_no_page(client, monkeypatch):
    monkeypatch.setattr(default().settings, "search_seconds", 0.2)
    record("a" * 60 + "!")
    spanlog.flush()
    answer = client.get("/api/traces", params={"filter": "name RLIKE '^(a|a)*$'"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the search took longer than 0.2 seconds")
