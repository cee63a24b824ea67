"""What `import spanlog` gives, and what it does not load."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import spanlog
import spanlog_integrations
from spanlog import entities

HEAVY = (
    "wrapt",
    "sqlalchemy",
    "orjson",
    "pandas",
    "opentelemetry",
    "openai",
    "asyncio",
    "pydantic",
)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "code", ["import spanlog", "import spanlog; dir(spanlog); spanlog.__all__"]
)
def test_importing_spanlog_loads_nothing_heavy(code):
    assert run(f"{code}; import sys; print(*(m for m in {HEAVY} if m in sys.modules))") == []


def test_importing_spanlog_loads_no_integration():
    code = "import spanlog, sys; print(*(m for m in sys.modules if m.startswith('spanlog')))"
    assert run(code) == ["spanlog"]


def test_every_public_name_resolves():
    for name in spanlog.__all__:
        assert getattr(spanlog, name) is not None
    assert sorted(spanlog.__all__) == list(spanlog.__all__)
    assert set(spanlog.__all__) <= set(dir(spanlog))
    public = {}
    exec("from spanlog import *", public)
    assert set(spanlog.__all__) == set(public) - {"__builtins__"}


def test_a_type_checker_sees_the_same_names():
    source = Path(spanlog.__file__).read_text(encoding="utf-8").split("TYPE_CHECKING:")[1]
    imported = {line.split()[-1] for line in source.splitlines() if " import " in line}
    assert imported | {"genai", "langgraph"} == set(spanlog.__all__)
    assert "    genai = gemini\n    langgraph = langchain\n" in source


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'spanlog' has no attribute 'nonsense'"):
        _ = spanlog.nonsense


def test_the_integrations_are_the_modules_on_disk():
    files = Path(spanlog_integrations.__file__).parent.glob("[!_]*.py")
    assert sorted(spanlog.INTEGRATIONS) == sorted(file.stem for file in files)


@pytest.mark.parametrize("name", sorted({*spanlog.INTEGRATIONS} - {"threads"}))
def test_every_integration_is_tested_on_its_oldest_and_its_newest_version(name):
    pins = (Path(__file__).parent / "environments").glob(f"{name}-*.txt")
    assert len(list(pins)) >= 2


@pytest.mark.parametrize("name", spanlog.INTEGRATIONS)
def test_every_integration_is_turned_on_in_the_same_way(name):
    autolog = getattr(spanlog, name).autolog
    assert str(inspect.signature(autolog)).startswith(
        "(log_traces: 'bool' = True, disable: 'bool' = False, silent: 'bool' = False"
    )


def members(owner):
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            yield f"{owner.__name__}.{name}", value


def public():
    for name in spanlog.__all__:
        value = getattr(spanlog, name)
        if inspect.ismodule(value):
            names = getattr(value, "__all__", [n for n in vars(value) if not n.startswith("_")])
            found = [getattr(value, n) for n in names]
            home = (value.__name__, "spanlog.entities", "spanlog.record.span")
            yield value.__name__, value
        else:
            found, home = [value], ("",)
        for thing in found:
            mine = getattr(thing, "__module__", "").startswith(home)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and mine:
                yield thing.__qualname__, thing
                yield from members(thing) if inspect.isclass(thing) else ()


@pytest.mark.parametrize("thing", [pytest.param(v, id=n) for n, v in dict(public()).items()])
def test_everything_public_says_what_it_is(thing):
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("name", entities.__all__)
def test_entities_are_found_by_mlflows_names(name):
    assert getattr(importlib.import_module("spanlog.entities"), name)


MLFLOW = {
    spanlog: """add_trace autolog delete_assessment delete_trace_tag flush_trace_async_logging
        get_active_trace_id get_assessment get_current_active_span get_last_active_trace_id
        get_trace get_tracking_uri log_assessment log_expectation log_feedback log_issue log_trace
        override_feedback search_sessions search_traces set_experiment set_trace_tag
        set_tracking_uri start_span start_span_no_context trace update_assessment
        update_current_trace""",
    spanlog.tracing: """configure context disable disable_notebook_display enable
        enable_notebook_display get_bridged_tracer_provider
        get_tracing_context_headers_for_http_request reset set_destination set_span_chat_tools
        set_tracing_context_from_http_request_headers""",
    spanlog.MlflowClient: """delete_assessment delete_trace_tag delete_traces end_span end_trace
        get_assessment get_trace link_prompt_versions_to_trace link_traces_to_run log_assessment
        search_traces set_trace_tag start_span start_trace unlink_traces_from_run
        update_assessment""",
    entities: """Assessment AssessmentError AssessmentSource AssessmentSourceType Document
        Expectation Experiment Feedback IssueReference Link LiveSpan NoOpSpan Session Span SpanEvent
        SpanLogLevel SpanStatus SpanStatusCode SpanType Trace TraceData TraceInfo TraceLocation
        TraceState""",
    entities.Trace: """from_dict from_json from_proto pandas_dataframe_columns search_assessments
        search_spans to_dict to_json to_pandas_dataframe_row to_proto trace_id""",
    entities.TraceData: "from_dict request response to_dict",
    entities.LiveSpan: """add_event add_link attributes description end events get_attribute inputs
        links llm_cost log_level model_name name outputs parent_id record_exception request_id
        set_attribute set_attributes set_description set_inputs set_log_level set_outputs
        set_span_type set_status span_id span_type start_time_ns status to_dict trace_id""",
    entities.Feedback: """assessment_id error_code error_message expectation feedback
        from_dictionary to_dictionary to_proto""",
}


@pytest.mark.parametrize("owner", MLFLOW)
def test_every_name_of_mlflows_tracing_is_there_or_the_readme_says_that_it_is_not(owner):
    readme = Path(__file__).parent.parent / "README.md"
    moving = readme.read_text(encoding="utf-8").split("## Moving from MLflow")[1].split("\n## ")[0]
    missing = re.findall(r"`(?:tracing\.)?(\w+)`", moving.split("Not there:")[1])
    of_instances = getattr(owner, "__annotations__", {})
    there = {*dir(owner), *of_instances}
    assert {n for n in MLFLOW[owner].split() if (n in there) == (n in missing)} == set()
