"""The view of a trace, opened in a real browser as the notebook saves it."""

import re

import pytest
import spanlog
from spanlog.display import data, page
from spanlog.model.assessments import AssessmentSource
from view_traces import SCRIPT, record_agent, record_hostile, record_many

UNFOLD = "all => all.querySelectorAll('details').forEach(one => (one.open = true))"
DARK = "background: #111; color: #eee"


@pytest.fixture
def opened(browser, tmp_path):
    """Return what opens HTML in a page, in which no error may happen."""
    contexts, faults = [], []

    def open_(html, *, style="", scripts=True, width=1200):
        path = tmp_path / "page.html"
        path.write_text(f"<!doctype html><meta charset=utf-8><body style='{style}'>{html}</body>")
        contexts.append(
            browser.new_context(
                java_script_enabled=scripts, viewport={"width": width, "height": 800}
            )
        )
        shown = contexts[-1].new_page()
        shown.requests = []
        shown.on("pageerror", lambda error: faults.append(str(error)))
        shown.on("request", lambda request: shown.requests.append(request.url))
        shown.goto(path.as_uri())
        return shown

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def agent(opened):
    return opened(page.render([record_agent()]))


def names(shown):
    return shown.locator(".row .name b").all_text_contents()


def choose(shown, name):
    shown.locator(".row", has_text=name).first.click()
    shown.locator(".title b", has_text=name).wait_for()
    return shown.locator(".details")


def test_the_tree_shows_each_span_and_folds_a_layer_over_the_same_call(agent):
    assert names(agent) == ["agent", "ChatOpenAI", "index", "lookup"]
    assert "+1 layer" in agent.locator(".row", has_text="ChatOpenAI").text_content()
    agent.locator(".row", has_text="ChatOpenAI").locator(".fold").click()
    assert names(agent) == ["agent", "ChatOpenAI", "chat m-1", "index", "lookup"]


def test_the_head_counts_a_doubled_call_once_and_names_session_user_and_tags(agent):
    head = agent.locator("header").text_content() + agent.locator(".facts").text_content()
    for words in ("1,234 in / 56 out", "5 spans", "1 error", "session s-1", "user ann", "env dev"):
        assert words in head


def test_an_error_is_in_plain_sight_and_its_stack_is_one_click_away(agent):
    assert "refused by the host" in agent.locator(".row.failed").text_content()
    agent.locator(".errors").click()
    details = agent.locator(".details")
    details.get_by_text("ConnectionError").first.wait_for()
    details.get_by_text("Stack").click()
    details.get_by_text('raise ConnectionError("refused').wait_for()
    details.get_by_text("Events (1)").click()
    details.get_by_text("attempt").wait_for()


def test_a_model_call_is_shown_as_a_chat(agent):
    details = choose(agent, "ChatOpenAI")
    roles = details.locator(".message").evaluate_all("all => all.map(m => m.dataset.role)")
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert "lookup" in details.locator(".call").text_content()
    assert '"Kyoto"' in details.locator(".call").text_content()
    assert '"clear"' in details.locator(".result").text_content()
    reply = details.locator(".reply")
    assert "In Kyoto." in reply.text_content()
    reply.get_by_text("Reasoning").click()
    reply.get_by_text("A shrine.").wait_for()


def test_a_picture_is_shown_from_the_page_itself(agent):
    image = choose(agent, "ChatOpenAI").locator("img")
    image.scroll_into_view_if_needed()
    agent.wait_for_function("image => image.naturalWidth === 64", arg=image.element_handle())


def test_inputs_as_recorded_unfold_as_a_tree(agent):
    details = choose(agent, "ChatOpenAI")
    details.get_by_text("Inputs, as recorded").click()
    details.locator(".raw .json").first.get_by_text('"m-1"').wait_for()


def test_documents_are_shown_as_documents(agent):
    found = choose(agent, "index").locator(".document")
    assert found.count() == 2
    assert "rail.md" in found.first.text_content()
    assert "Long trips go first class." in found.first.text_content()


def test_the_search_marks_the_spans_that_hold_a_text_anywhere(agent):
    agent.locator("input[type=search]").fill("FIRST CLASS")
    agent.locator(".hits", has_text="1").wait_for()
    assert agent.locator(".row.found .name b").all_text_contents() == ["index"]
    agent.keyboard.press("Enter")
    agent.locator(".title b", has_text="index").wait_for()
    agent.keyboard.press("Escape")
    assert agent.locator(".row.dim").count() == 0


def test_the_keyboard_walks_folds_and_finds_errors(agent):
    agent.locator(".row").first.click()
    for key in ("ArrowDown", "ArrowRight", "j"):
        agent.keyboard.press(key)
    agent.locator(".title b", has_text="chat m-1").wait_for()
    for key in ("ArrowLeft", "ArrowLeft"):
        agent.keyboard.press(key)
    assert names(agent) == ["agent", "ChatOpenAI", "index", "lookup"]
    agent.keyboard.press("e")
    agent.locator(".title b", has_text="lookup").wait_for()


def test_a_click_counts_though_the_rows_are_drawn_while_it_lasts(agent):
    agent.locator(".row", has_text="index").hover()
    agent.mouse.down()
    agent.set_viewport_size({"width": 1100, "height": 700})
    agent.evaluate("() => new Promise((done) => setTimeout(done, 200))")
    agent.mouse.up()
    agent.locator(".title b", has_text="index").wait_for()


def test_what_was_said_is_listed_with_who_and_why(opened):
    trace = record_agent()
    about = {"trace_id": trace.info.trace_id}
    judge = AssessmentSource("LLM_JUDGE", "judge-1")
    span_id = trace.search_spans(name="index")[0].span_id
    spanlog.log_feedback(**about, name="right", value=True, source=judge, rationale="a shrine")
    facts = {"metadata": {"model": "m-2"}, "span_id": span_id}
    spanlog.log_feedback(**about, name="score", value=0.5, **facts)
    spanlog.log_feedback(**about, name="judged", error=ValueError("no verdict"))
    spanlog.log_expectation(**about, name="place", value="Kyoto")
    shown = opened(page.render([spanlog.get_trace(trace.info.trace_id)]))
    shown.get_by_text("Assessments (4)").click()
    shown.locator(".facts .assessed").nth(3).wait_for()
    right, score, judged, place = shown.locator(".facts .assessed").all_text_contents()
    for words, told in (
        (("right", "judge-1", "a shrine"), right),
        (("score", "of index", "code", "0.5", "Metadata"), score),
        (("judged", "failed", "ValueError", "no verdict"), judged),
        (("place", "expected", "a person", "Kyoto"), place),
    ):
        assert all(word in told for word in words), told
    assert "score" in choose(shown, "index").locator(".assessed").text_content()
    assert choose(shown, "lookup").locator(".assessed").count() == 0


@pytest.mark.parametrize("scripts", [True, False], ids=["view", "static tree"])
def test_markup_in_a_trace_is_text(opened, scripts):
    shown = opened(page.render([record_hostile()]), scripts=scripts)
    if scripts:
        for index in (0, 1):
            shown.locator(".row").nth(index).click()
            shown.locator(".title").wait_for()
            for _ in range(4):  # what is inside is drawn when it is unfolded
                shown.locator(".details").evaluate(UNFOLD)
                shown.wait_for_timeout(20)
            assert SCRIPT in shown.locator(".details").text_content()
        assert shown.evaluate("window.harm") is None
        assert shown.locator("img, a[href^=javascript]").count() == 0
    else:
        assert SCRIPT in shown.locator("body").text_content()
        assert shown.locator("img, a").count() == 0


def test_nothing_is_fetched_from_anywhere(agent):
    choose(agent, "ChatOpenAI")
    assert [url for url in agent.requests if not url.startswith(("file:", "data:"))] == []


def test_of_5000_spans_only_those_in_sight_are_drawn(opened):
    shown = opened(page.render([record_many()]))
    assert shown.locator(".row").count() < 100
    shown.locator(".row").first.click()
    shown.keyboard.press("End")
    shown.locator(".title b", has_text="step 4998").wait_for()
    assert "step 4998" in names(shown)
    assert shown.locator(".row").count() < 100


def test_a_large_value_is_cut_and_says_by_how_much(opened):
    with spanlog.start_span("large") as span:
        span.set_outputs({"text": "x" * 100_000, "items": list(range(300_000))})
    shown = opened(page.render([spanlog.get_trace(span.trace_id)]))
    details = shown.locator(".details")
    assert "80,000 more characters are not kept on this page" in details.text_content()


@pytest.mark.parametrize(("style", "scheme"), [(DARK, "dark"), ("color: #222", "light")])
def test_the_view_is_dark_where_the_page_is(opened, style, scheme):
    shown = opened(page.render([record_agent()]), style=style)
    ground = shown.locator(".frame").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 128) == (scheme == "dark")


def test_it_fits_a_narrow_page(opened):
    shown = opened(page.render([record_agent()]), width=420)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 420
    assert (
        shown.locator(".details").bounding_box()["y"] > shown.locator(".rows").bounding_box()["y"]
    )


def test_without_scripts_there_is_a_tree_that_unfolds(opened):
    shown = opened(page.render([record_agent()]), scripts=False)
    tree = shown.locator(".spanlog-static")
    assert "refused by the host" in tree.text_content()
    tree.locator("summary", has_text="index").click()
    assert tree.get_by_text("Long trips go first class.").is_visible()


def test_a_cell_that_made_several_traces_has_a_way_through_them(opened):
    made = []
    for number in range(3):
        with spanlog.start_span(f"number {number}") as span:
            pass
        made.append(spanlog.get_trace(span.trace_id))
    shown = opened(page.render(made, more=4))
    tabs = shown.locator("[role=tab]")
    assert tabs.locator("b").all_text_contents() == ["number 0", "number 1", "number 2"]
    tabs.nth(1).click()
    assert shown.locator("header > b").text_content() == "number 1"
    shown.keyboard.press("ArrowRight")
    assert shown.locator("header > b").text_content() == "number 2"
    assert shown.get_by_text("and 4 more traces").is_visible()


def test_an_executed_notebook_shows_its_traces_when_its_outputs_are_opened(opened, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook")
    nbformat = pytest.importorskip("nbformat")
    first = 'import spanlog\nwith spanlog.start_span("one") as s: s.set_outputs("said")'
    cells = [first, first.replace("one", "two"), 'with spanlog.start_span("one"): 1 / 0']
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPANLOG_TRACKING_URI", str(tmp_path / "n.db"))
        nbclient.NotebookClient(book, timeout=60, allow_errors=True).execute()
    outputs = [out.data for cell in book.cells for out in cell.outputs if "data" in out]
    shown = opened("".join(output["text/html"] for output in outputs))
    heads = shown.locator("header > b")
    heads.nth(2).wait_for()
    assert heads.all_text_contents() == ["one", "two", "one"]
    assert shown.locator(".spanlog-static").count() == 0
    assert "said" in shown.locator(".details").first.text_content()
    assert "ZeroDivisionError" in shown.locator(".details").nth(2).text_content()


def test_it_comes_up_where_a_notebook_makes_the_scripts_of_an_output_anew(opened):
    """So do JupyterLab and VS Code; here with the same output in two places."""
    shown = opened("<div class=out></div><div class=out></div>")
    shown.evaluate(
        """html => document.querySelectorAll(".out").forEach(out => {
            out.innerHTML = html;
            for (const old of out.querySelectorAll("script")) {
                const script = document.createElement("script");
                for (const { name, value } of old.attributes) script.setAttribute(name, value);
                script.textContent = old.textContent;
                old.replaceWith(script);
            }
        })""",
        page.render([record_agent()]),
    )
    shown.locator(".row", has_text="lookup").nth(1).wait_for()
    assert names(shown) == ["agent", "ChatOpenAI", "index", "lookup"] * 2
    assert shown.locator(".spanlog-static").count() == 0


# The data of the view.


def test_an_integer_that_javascript_would_round_is_kept():
    assert data.Room().cut([2**53, 2**53 + 1]) == [2**53, {data.NUMBER: str(2**53 + 1)}]


def test_what_was_said_is_told_however_much_it_is(opened):
    trace = record_agent()
    about = {"trace_id": trace.info.trace_id}
    for _ in range(3):
        spanlog.log_feedback(**about, value={"why": ["x" * 600_000] * 2}, rationale="y" * 600_000)
    shown = opened(page.render([spanlog.get_trace(trace.info.trace_id)]))
    shown.get_by_text("Assessments (3)").click()
    shown.locator(".facts .assessed").nth(2).wait_for()
    assert len(shown.content()) < 2_500_000


def test_values_are_cut_where_there_is_no_more_room():
    room = data.Room(text=3, total=40)
    assert room.cut("abcd") == {data.CUT: ["abc", 4]}
    assert room.cut(["ab"] * 9) == ["ab", "ab", "ab", {data.MORE: 6}]
    assert room.cut({"a": 1, "b": 2}) == {data.MORE: 2}
    deep = []
    for _ in range(200):
        deep = [deep]
    assert str(data.Room().cut(deep)).count("[") < 300


def test_an_object_that_is_cut_shows_the_keys_that_are_left(opened):
    with spanlog.start_span("large") as span:
        span.set_inputs({"outer": {f"key {n}": "x" * 19_000 for n in range(150)}})
    shown = opened(page.render([spanlog.get_trace(span.trace_id)]))
    shown.locator(".details summary", has_text="outer").click()
    shown.locator(".details .key", has_text="key 0").wait_for()


def test_the_script_of_a_notebook_has_no_comments_and_imports_nothing(opened):
    script = page.render([record_agent()]).partition('<script type="module">')[2]
    assert re.findall(r"/\*\*|^import|^export|^\s*//", script, re.MULTILINE) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [("in KYOTO", True), ('"sky": "clear"', True), ("shrine", True), ("absent", False)],
)
def test_a_text_is_found_in_a_span_whatever_its_letter_case(text, found):
    span = record_agent().search_spans(name="ChatOpenAI")[0]
    assert data.holds(span, text) is found
