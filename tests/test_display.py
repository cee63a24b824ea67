"""Traces as a person sees them: text, rich, HTML and the notebook."""

import io
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser

import pytest
import rich.console
import spanlog
from spanlog.display import html, notebook, outline, tree
from spanlog.display import page as pages
from spanlog.entities import SpanEvent, Trace
from spanlog.model import messages


@pytest.fixture(autouse=True)
def _store(tmp_path):
    spanlog.set_tracking_uri(str(tmp_path / "t.db"))


def last_trace():
    return spanlog.get_trace(spanlog.get_last_active_trace_id())


def record(name="root", span_type="UNKNOWN", attributes=None, **contents):
    """Record a trace of one span and return it."""
    with spanlog.start_span(name, span_type, attributes) as span:
        for what, value in contents.items():
            getattr(span, f"set_{what}")(value)
    return last_trace()


def record_agent():
    usage = {
        "gen_ai.usage.input_tokens": 1234,
        "gen_ai.usage.output_tokens": 56,
        "gen_ai.usage.cache_read.input_tokens": 512,
    }
    with spanlog.start_span("agent", "AGENT"):
        with spanlog.start_span("chat gpt-4o", "CHAT_MODEL", usage):
            pass
        with pytest.raises(ConnectionError), spanlog.start_span("lookup", "TOOL"):
            raise ConnectionError("refused\nby the host")
    return last_trace()


def made(*spans, state="OK"):
    """Return a trace of spans given as (id, parent id, start, end)."""
    facts = {"trace_id": "0" * 32, "experiment_id": "1", "state": state}
    return Trace.from_dict(
        {
            "info": {**facts, "request_time": "2026-01-01T00:00:00+00:00"},
            "data": {
                "spans": [
                    {
                        "trace_id": "0" * 32,
                        "span_id": id_,
                        "parent_span_id": parent,
                        "name": f"span {id_}",
                        "span_type": "UNKNOWN",
                        "start_time_unix_nano": start,
                        "end_time_unix_nano": end,
                        "status": {"code": "OK" if end else "UNSET"},
                    }
                    for id_, parent, start, end in spans
                ]
            },
        }
    )


@pytest.fixture(scope="module")
def huge():
    """5,000 spans: a chain of 2,000, and 3,000 side by side below the first."""
    chain = [(str(n), str(n - 1) if n else None, n + 1, 10_000) for n in range(2_000)]
    return made(*chain, *((str(n), "0", n + 1, n + 2) for n in range(2_000, 5_000)))


def rich_text(trace, width=120):
    console = rich.console.Console(width=width, file=io.StringIO())
    console.print(trace)
    return console.file.getvalue()


class Page(HTMLParser):
    """What a browser would make of a page: the tags, that they close, and the text."""

    def __init__(self, source):
        super().__init__()
        self.open, self.deepest, self.tags, self.words = [], 0, [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.deepest = max(self.deepest, len(self.open))
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    def count(self, tag, class_=None):
        return sum(
            name == tag and (class_ is None or class_ in (attrs.get("class") or "").split())
            for name, attrs in self.tags
        )


def page(trace):
    """Return the static tree, which is there where no scripts run."""
    return Page(html.render(trace))


# What all views share.


@pytest.mark.parametrize(
    ("ns", "words"),
    [
        (-5, "0 µs"),
        (0, "0 µs"),
        (350_000, "350 µs"),
        (999_600, "1 ms"),
        (12_000_000, "12 ms"),
        (999_600_000, "1.00 s"),
        (1_240_000_000, "1.24 s"),
        (59_996_000_000, "1 m 0 s"),
        (125_000_000_000, "2 m 5 s"),
        (12_000_000_000_000, "3 h 20 m"),
    ],
)
def test_a_duration_is_written_in_the_unit_that_fits(ns, words):
    assert outline.duration(ns) == words


def test_siblings_stand_in_the_order_of_their_start():
    trace = made(("a", None, 1, 9), ("c", "a", 5, 6), ("b", "a", 2, 8), ("d", "b", 7, 8))
    assert [row.span.span_id for row in outline.Outline(trace).rows] == ["a", "b", "d", "c"]


def test_every_span_is_shown_once_even_if_spans_name_each_other_as_parent():
    trace = made(("a", None, 1, 2), ("x", "y", 3, 4), ("y", "x", 5, 6), ("z", "z", 7, 8))
    shown = [row.span.span_id for row in outline.Outline(trace).rows]
    assert sorted(shown) == ["a", "x", "y", "z"]


# Text.


def test_print_shows_a_line_for_the_trace_and_one_for_each_span():
    trace = record_agent()
    lines = [re.sub(r"\d+ (µs|ms)", "#", line) for line in str(trace).splitlines()]
    assert [" ".join(line.split()) for line in lines] == [
        f"agent OK # 1,234 in (512 cached) / 56 out {trace.info.trace_id}",
        "└─ agent AGENT #",
        "├─ chat gpt-4o CHAT_MODEL # 1,234 in (512 cached) / 56 out",
        "└─ lookup TOOL # ✗ ConnectionError: refused by the host",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1:strict", "utf-8", "cp437"])
def test_print_writes_what_it_can_wherever_a_program_prints(tmp_path, encoding):
    code = """
import spanlog
with spanlog.start_span("größe 漢字 \\ud800 → 🌍", attributes={"spanlog.note": "…"}) as span:
    with spanlog.start_span("x" * 200):
        pass
    span.set_status_error("no …")
    print(span)
trace = spanlog.get_trace(spanlog.get_last_active_trace_id())
print(trace, [trace], trace.data.spans, spanlog.search_sessions())
__import__("rich").print(trace)
print("the program goes on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding.split(":")[0])
    assert shown.splitlines()[-1] == "the program goes on"
    assert ("└─ xxx" if encoding in ("utf-8", "cp437") else "`- xxx") in shown


def test_columns_are_aligned_within_100_columns():
    with spanlog.start_span("a name that is " + "very " * 40 + "long"):
        with spanlog.start_span("检索文档", "RETRIEVER"):
            pass
        with pytest.raises(ValueError), spanlog.start_span("b", "TOOL"):
            raise ValueError("long " * 100)
    lines = str(last_trace()).splitlines()[1:]
    assert max(map(tree._width, lines)) <= 100
    columns = {
        tree._width(line[: line.index(kind)])
        for line in lines
        for kind in ("RETR", "TOOL")
        if kind in line
    }
    assert len(columns) == 1
    assert all("…" in lines[i] for i in (0, 2))


def test_text_obeys_no_line_break_or_terminal_code_in_a_name():
    text = str(record("one\ntwo\x1b[31mred"))
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text


def test_a_span_that_has_not_ended_says_so():
    with spanlog.start_span("outer"):
        trace = spanlog.get_trace(spanlog.get_active_trace_id())
    assert str(trace).splitlines()[0] == f"outer  running  {trace.info.trace_id}"
    assert str(trace).splitlines()[1].split() == ["└─", "outer", "running"]
    assert page(trace).count("details", "open") == 1
    assert "running" in rich_text(trace)


def test_a_span_that_never_ended_in_a_dead_process_is_interrupted():
    trace = made(("a", None, 1, None), state="INTERRUPTED")
    assert str(trace).count("interrupted") == 2
    assert "interrupted" in page(trace).text


def test_a_span_without_its_parent_is_shown_at_the_root_and_marked():
    trace = made(("a", None, 1, 4), ("b", "elsewhere", 2, 3), ("c", "b", 2, 3))
    assert "\n├─ span a" in str(trace)
    assert re.search(r"\n└─ span b .*\(parent missing\)\n   └─ span c [^(]*$", str(trace))
    assert page(trace).text.count("parent missing") == 1
    assert "parent missing" in rich_text(trace)


def test_a_trace_without_spans_can_be_shown():
    trace = made()
    assert str(trace) == "trace  OK  " + "0" * 32
    assert "0 spans" in page(trace).text
    assert "trace" in rich_text(trace)


def test_rich_shows_the_tree_and_takes_no_markup_from_names():
    trace = record("[red]loud[/red] [/nonsense]", "TOOL")
    assert "[red]loud[/red] [/nonsense]  TOOL" in rich_text(trace)
    assert "ConnectionError: refused by the host" in rich_text(record_agent())


@pytest.mark.slow
@pytest.mark.parametrize("show", [str, rich_text, Trace._repr_html_], ids=["text", "rich", "page"])
def test_5000_spans_nested_2000_deep_are_all_shown(huge, show):
    began = time.monotonic()
    shown = show(huge)
    assert set(re.findall(r"span \d+", shown)) >= {f"span {n}" for n in range(5_000)}
    assert len(shown) < 5_000_000
    assert time.monotonic() - began < 20


# HTML.


def test_html_is_static_and_needs_nothing_from_elsewhere():
    source = html.render(record_agent())
    assert {tag for tag, _ in Page(source).tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert not re.search(r"https?:|url\(|@import|\son\w+=", source)


def test_html_nests_children_in_details_and_has_a_bar_for_each_span():
    shown = page(record_agent())
    assert (shown.count("details", "span"), shown.count("details", "kids")) == (3, 1)
    assert shown.count("span", "bar") == 3
    assert "1,234 in (512 cached) / 56 out" in shown.text


def test_a_bar_stands_where_its_span_was_in_time():
    bars = re.findall(
        r'<i style="([^"]*)">',
        html.render(made(("a", None, 100, 200), ("b", "a", 125, 175), ("c", "a", 180, None))),
    )
    assert bars == [
        "left:0.00%;width:100.00%",
        "left:25.00%;width:50.00%",
        "left:80.00%;width:20.00%",
    ]


def test_html_nests_no_deeper_than_browsers_bear(huge):
    assert page(huge).deepest < 400


SCRIPT = '<script>alert("1")</script>'


@pytest.mark.parametrize(
    "contents",
    [
        {"name": SCRIPT},
        {"span_type": SCRIPT},
        {"inputs": {SCRIPT: [SCRIPT]}},
        {"outputs": SCRIPT},
        {"attributes": {SCRIPT: SCRIPT, "more": {SCRIPT: SCRIPT}}},
        {"inputs": {"messages": [{"role": SCRIPT, "content": SCRIPT, SCRIPT: SCRIPT}]}},
        {"inputs": {"messages": [{"role": "user", "content": [{"type": "text", "text": SCRIPT}]}]}},
        {"outputs": [{"role": "ai", "tool_calls": [{"name": SCRIPT, "args": {SCRIPT: SCRIPT}}]}]},
        {"outputs": [{"page_content": SCRIPT, "metadata": {SCRIPT: SCRIPT}, "id": SCRIPT}]},
    ],
    ids=lambda contents: json.dumps(contents)[:40],
)
def test_markup_in_a_trace_is_shown_as_text(contents):
    shown = page(record(**contents))
    assert shown.count("script") == 0
    assert "<script>alert(" in shown.text


def test_markup_in_errors_events_and_tags_is_shown_as_text():
    with spanlog.start_span("root") as span:
        spanlog.update_current_trace(tags={SCRIPT: SCRIPT}, session_id=SCRIPT)
        span.add_event(SpanEvent(SCRIPT, {SCRIPT: SCRIPT}))
        span.record_exception(ValueError(SCRIPT))
    shown = page(last_trace())
    assert shown.count("script") == 0
    assert shown.text.count("<script>alert(") >= 7


def test_a_chat_is_shown_as_messages_with_their_tool_calls():
    arguments = '{"city": "Oslo"}'
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    shown = page(
        record(
            "chat",
            "CHAT_MODEL",
            inputs={"model": "m-1", "messages": [{"role": "user", "content": "Rain?"}]},
            outputs={
                "id": "r-1",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}},
                    {"index": 1, "message": {"role": "assistant", "content": "No idea."}},
                ],
            },
        )
    )
    roles = [attrs["data-role"] for _, attrs in shown.tags if attrs.get("class") == "message"]
    assert roles == ["user", "assistant", "assistant"]
    assert shown.count("div", "call") == 1
    for words in ("Rain?", "weather", '{\n  "city": "Oslo"\n}', "No idea.", "m-1", "r-1"):
        assert words in shown.text


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}, ["assistant", "Hi"]),
        (
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "name": "f", "input": {"x": 1}}],
            },
            ["calls", "f", '{\n  "x": 1\n}'],
        ),
        ([{"type": "human", "content": "Hi"}, {"type": "ai", "content": "Ho"}], ["human", "Ho"]),
        (
            {"output": [{"type": "function_call", "name": "f", "arguments": "{"}]},
            ["calls", "f", "{"],
        ),
        ({"messages": [{"role": None, "content": 5}]}, ["message", "5"]),
        ({"messages": [{"role": "user", "content": {"a": 1}, "tool_calls": 3}]}, ['"a": 1', "3"]),
        ({"messages": ["not", "a chat"]}, ["a chat"]),
        ({"messages": [{"type": {"not": "a chat"}}]}, ["a chat"]),
        ({"role": "admin", "mail": "a@b"}, ['"role": "admin"']),
        ({"choices": [{"message": None}]}, ["choices"]),
    ],
)
def test_other_shapes_of_a_chat_are_shown_too_and_odd_ones_as_they_are(outputs, words):
    data = record().to_dict()
    data["data"]["spans"][0]["outputs"] = outputs
    text = page(Trace.from_dict(data)).text
    assert all(word in text for word in words)


def test_documents_are_shown_with_their_metadata():
    found = [{"page_content": "Paris is big.", "metadata": {"source": "p.md"}, "id": "d1"}]
    shown = page(record("search", "RETRIEVER", outputs=found))
    assert shown.count("div", "document") == 1
    assert all(words in shown.text for words in ("Paris is big.", "source", "p.md", "d1"))


def test_an_error_is_in_plain_sight_and_its_stack_inside():
    shown = page(record_agent())
    assert shown.count("span", "why") == 1
    assert "ConnectionError: refused by the host" in shown.text
    assert 'raise ConnectionError("refused' in shown.text


def test_a_note_stands_beside_its_span():
    with spanlog.start_span("ask", attributes={"spanlog.note": "asks: <b>sure?\nreally"}) as span:
        spanlog.start_span_no_context("other", parent_span=span, attributes={"spanlog.note": 1})
    trace = spanlog.get_trace(span.trace_id)
    assert trace.data.spans[0].note == "asks: <b>sure?\nreally"
    assert trace.data.spans[1].note is None
    assert str(trace).count("asks: <b>sure? really") == 1
    assert page(trace).count("span", "note") == 1
    assert "asks: <b>sure? really" in page(trace).text


def test_a_long_value_is_cut_and_says_by_how_much():
    source = html.render(record(outputs="x" * 100_000))
    assert "x" * 2_000 + "<" in source
    assert "98,000 more characters are not shown" in source


def test_what_was_said_in_a_span_is_read_once_for_both_views(monkeypatch):
    trace, read, conversation = record_agent(), [], messages.conversation

    def counted(inputs, outputs, *, of_model):
        read.append(inputs)
        return conversation(inputs, outputs, of_model=of_model)

    monkeypatch.setattr(messages, "conversation", counted)
    assert "spanlog-static" in pages.render([trace])
    assert len(read) == len(trace.data.spans) > 1


def test_the_static_tree_is_cut_after_500_spans_and_says_so(huge):
    assert "4,500 more spans are not shown" in page(huge).text


@pytest.mark.slow
def test_a_page_stays_small_however_much_was_recorded():
    with spanlog.start_span("root"):
        for _ in range(300):
            with spanlog.start_span("child", attributes={f"k{n}": "v" for n in range(50)}) as span:
                span.set_inputs({"messages": [{"role": "user", "content": "y"}] * 200})
                span.set_outputs("x" * 15_000)
    assert len(last_trace()._repr_html_()) < 3_000_000


# The notebook.


CELLS = {
    "first use, in a thread": """
import threading

def work():
    import spanlog
    with spanlog.start_span("in a thread"):
        pass

thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "async": """
import asyncio, spanlog

@spanlog.trace
async def in_a_task():
    await asyncio.sleep(0)

_ = await asyncio.gather(in_a_task(), in_a_task())
""",
    "nothing": "1 + 1",
    "many": """
for number in range(12):
    with spanlog.start_span(f"number {number}"):
        pass
""",
    "value": """
with spanlog.start_span("the value"):
    pass
spanlog.get_trace(spanlog.get_last_active_trace_id())
""",
    "turned off": """
spanlog.tracing.disable_notebook_display()
with spanlog.start_span("unseen"):
    pass
""",
    "turned on": """
spanlog.tracing.enable_notebook_display()
with spanlog.start_span("seen"):
    pass
""",
    "error": """
with spanlog.start_span("failing"):
    raise ValueError("no")
""",
    "impatient": """
from spanlog.display import notebook
notebook._LONG = notebook._EVERY = 0.01
""",
    "long": """
import time
with spanlog.start_span("outer"):
    with spanlog.start_span("inner"):
        while notebook.progress._shown is None:
            time.sleep(0.01)
        assert notebook._doing().startswith("outer → inner  ")
""",
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Run a notebook and return the HTML that each cell shows."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    pytest.importorskip("ipykernel", reason="ipykernel is the notebook's kernel")
    import nbformat

    path = tmp_path_factory.mktemp("notebook")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS.values()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANLOG_TRACKING_URI", str(path / "n.db"))
        nbclient.NotebookClient(
            book, timeout=60, allow_errors=True, resources={"metadata": {"path": str(path)}}
        ).execute()
    return {
        name: [out.data for out in cell.outputs if "text/html" in out.get("data", {})]
        for name, cell in zip(CELLS, book.cells, strict=True)
    }


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("first use, in a thread", ["in a thread"]),
        ("async", ["in_a_task", "in_a_task"]),
        ("value", ["the value"]),
        ("turned on", ["seen"]),
        ("error", ["failing"]),
    ],
)
def test_a_notebook_shows_the_traces_of_a_cell_below_it_once(cells, cell, names):
    (shown,) = cells[cell]
    assert re.findall(r"<header><b>(.*?)</b>", shown["text/html"]) == names


def test_a_notebook_shows_the_text_tree_where_html_cannot_be_shown(cells):
    assert "└─ seen" in cells["turned on"][0]["text/plain"]


def test_a_notebook_shows_at_most_ten_traces_a_cell(cells):
    (shown,) = cells["many"]
    assert shown["text/html"].count("<header>") == 10
    assert "and 2 more" in shown["text/html"]
    assert "and 2 more" in shown["text/plain"]


def test_a_notebook_shows_nothing_where_there_is_nothing_or_it_was_turned_off(cells):
    assert cells["nothing"] == cells["turned off"] == []


def test_a_long_cell_shows_which_spans_are_open_until_it_ends(cells):
    progress, shown = cells["long"]
    assert progress == {"text/html": "", "text/plain": ""}
    assert shown["text/plain"].startswith("outer  OK")


def test_outside_a_notebook_nothing_is_collected():
    notebook._install()
    notebook._ended("0" * 32)
    assert notebook.collector is None
