"""What the pages of `spanlog ui` ask for: traces, sessions and charts of the store, as JSON."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import exc
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from spanlog import semconv, spoken
from spanlog.api import feedback, search
from spanlog.display import data
from spanlog.errors import Unavailable
from spanlog.model.assessments import Assessment, AssessmentSource, AssessmentSourceType, Feedback
from spanlog.model.messages import MODELS
from spanlog.model.trace import TraceState
from spanlog.runtime import default
from spanlog.store.errors import NotFoundError
from spanlog.store.filters import FilterError, parse_filter, parse_order, where
from spanlog.store.limits import SearchTimeoutError
from spanlog.ui import refusals
from spanlog.ui.charts import charts

if TYPE_CHECKING:
    from starlette.requests import Request

    from spanlog.model.span import Span
    from spanlog.model.trace import Trace
    from spanlog.store.filters import Filter
    from spanlog.store.sql import SqlStore

_PAGE = 50  # traces or sessions that a list asks for at once: some screens full
_MOST = 1_000  # traces of a session that are shown, so that a page stays light
_ME = AssessmentSource(AssessmentSourceType.HUMAN, "spanlog ui")
# Milliseconds since 1970; a store has 64 bits for them, and in what is added to them.
_TIME = re.compile("[0-9]{1,15}")
# Bytes of what is said of a trace: a person writes much less, and memory takes it easily.
_MOST_SAID = 1_000_000
_ORDERS = ("timestamp_ms", "execution_time_ms", "tokens", "cost", "name")
# What a browser may show from here; anything else is only handed over as a file. This goes into a
# header, which is one line of ASCII.
_SHOWN = re.compile(r"(image/(png|jpeg|gif|webp)|(audio|video)/[\w.+-]+)(;[ -~]*)?", re.ASCII)
# What the store can say instead of an answer, and the status that tells it.
_STATUS: dict[type[Exception], int] = {
    NotFoundError: 404,
    SearchTimeoutError: 400,  # what was asked for is too much
    Unavailable: 503,
    exc.DBAPIError: 503,
    exc.TimeoutError: 503,  # every connection is in use
    OSError: 503,  # its file cannot even be looked at
}


def app() -> Starlette:
    """Return the application that answers under `/api`."""
    routes = [
        Route("/experiments", _experiments),
        Route("/traces", _traces),
        Route("/traces/{trace_id}", _trace),
        Route("/traces/{trace_id}/find", _find),
        Route("/traces/{trace_id}/feedback", _feedback, methods=["POST"]),
        Route("/traces/{trace_id}/feedback/{assessment_id}", _feedback, methods=["PUT", "DELETE"]),
        Route("/traces/{trace_id}/spans/{span_id}", _span),
        Route("/attachments/{sha256}", _attachment),
        Route("/sessions", _sessions),
        Route("/session", _session),
        Route("/charts", _charts),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Response]] = {
        kind: partial(_refused, status) for kind, status in _STATUS.items()
    }
    handlers.update({HTTPException: refusals.by_http, FilterError: _misread})
    return Starlette(routes=routes, exception_handlers=handlers)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _misread(_: Request, error: Exception) -> Response:
    line, *place = str(error).split("\n")
    return refusals.refusal(400, line, place="\n".join(place))


def _refused(status: int, _: Request, error: Exception) -> Response:
    if not isinstance(error, exc.SQLAlchemyError | OSError):
        return refusals.refusal(status, str(error))
    reason = getattr(error, "orig", error)  # without the statement
    return refusals.refusal(status, f"the trace store does not answer: {reason}")


# What is asked for. These run in threads: the store is read there.


def _experiments(_: Request) -> Response:
    return _json([{"id": e.experiment_id, "name": e.name} for e in _store().experiments()])


def _traces(request: Request) -> Response:
    order = request.query_params.get("order", _ORDERS[0])
    field, _, direction = order.partition(" ")
    if field not in _ORDERS or direction not in ("", "ASC", "DESC"):
        raise HTTPException(400, f"order is one of {', '.join(_ORDERS)}, with ASC or DESC")
    found = _store().search(
        _chosen(request),
        _filter(request),
        parse_order([order if direction else f"{order} DESC"]),
        _PAGE,
        request.query_params.get("token"),
        include_spans=False,
    )
    return _json({"found": [_light(trace) for trace in found], "token": found.token})


def _trace(request: Request) -> Response:
    return _json(data.outline(_asked(request)))


def _span(request: Request) -> Response:
    trace_id, span_id = request.path_params["trace_id"], request.path_params["span_id"]
    found = _store().span(trace_id, span_id)
    if found is None:
        raise HTTPException(404, f"there is no span {span_id} in {trace_id}")
    room = data.Room(math.inf, math.inf) if "whole" in request.query_params else data.Room()
    return _json(data.contents(found, room))


def _find(request: Request) -> Response:
    text = request.query_params.get("text", "")
    return _json([s.span_id for s in _asked(request).data.spans if data.holds(s, text)])


async def _feedback(request: Request) -> Response:
    """Keep what is said of a trace or a span, change it, or take it back."""
    said = await _body(request)
    return await run_in_threadpool(_FEEDBACK[request.method], said, **request.path_params)


async def _body(request: Request) -> dict[str, Any]:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _MOST_SAID:
                raise HTTPException(413, f"the body is larger than {_MOST_SAID:,} bytes")
        said = orjson.loads(body or b"{}")
    except ClientDisconnect:
        raise HTTPException(400, "the body ends too early") from None
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return said


def _value(said: dict[str, Any]) -> Any:
    if said.get("value") is None:
        raise HTTPException(400, "there is no value")
    return said["value"]


def _text(said: dict[str, Any], name: str) -> str | None:
    text = said.get(name)
    if not isinstance(text, str | None):
        raise HTTPException(400, f"{name} is not a text")
    return text


def _say(said: dict[str, Any], trace_id: str) -> Response:
    kept = feedback.log_feedback(
        trace_id=trace_id,
        name=_text(said, "name") or "feedback",
        value=_value(said),
        rationale=_text(said, "rationale") or None,
        source=_ME,
        span_id=_text(said, "span_id"),
    )
    return _json(kept.to_dict())


def _change(said: dict[str, Any], trace_id: str, assessment_id: str) -> Response:
    before = _mine(trace_id, assessment_id)
    rationale = _text(said, "rationale") or ""
    after = Feedback(before.name, _value(said), None, _ME, rationale=rationale)
    return _json(feedback.update_assessment(trace_id, assessment_id, after).to_dict())


def _take_back(_: dict[str, Any], trace_id: str, assessment_id: str) -> Response:
    feedback.delete_assessment(trace_id, _mine(trace_id, assessment_id).assessment_id or "")
    return _json({})


_FEEDBACK: dict[str, Callable[..., Response]] = {
    "POST": _say,
    "PUT": _change,
    "DELETE": _take_back,
}


def _mine(trace_id: str, assessment_id: str) -> Assessment:
    """Return feedback that was given here; that of others stays as it is."""
    found = feedback.get_assessment(trace_id, assessment_id)
    if found.source != _ME or found.kind != Feedback.kind:
        raise HTTPException(403, "this was not said here, so it is not changed here")
    return found


def _attachment(request: Request) -> Response:
    content = _store().attachment(request.path_params["sha256"])
    kind = request.query_params.get("type", "")
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    if not _SHOWN.fullmatch(kind):
        headers["Content-Disposition"] = "attachment"
        kind = "application/octet-stream"
    return Response(content, media_type=kind, headers=headers)


def _sessions(request: Request) -> Response:
    token = request.query_params.get("token")
    page = _store().sessions(_chosen(request), _filter(request), _PAGE, token, include_spans=False)
    found = [{"id": s.id, "traces": [_light(trace) for trace in s]} for s in page]
    return _json({"found": found, "token": page.token})


def _session(request: Request) -> Response:
    store, of_session = _store(), where("session", "=", request.query_params.get("id", ""))
    order = parse_order(["timestamp_ms ASC"])
    found = store.search(store.experiment_ids(), of_session, order, _MOST)
    room = data.Room()
    return _json([{**_light(trace), **_said(trace, room)} for trace in found])


def _charts(request: Request) -> Response:
    since, until = _time(request, "since"), _time(request, "until") or int(time.time() * 1000)
    if since > until:
        raise HTTPException(400, "since is later than until")
    found = _store().over_time(_chosen(request), _filter(request), since, until)
    return _json(charts(found))


def _asked(request: Request) -> Trace:
    trace_id = request.path_params["trace_id"]
    trace = search.get_trace(trace_id, silent=True)
    if trace is None:
        raise HTTPException(404, f"there is no trace {trace_id}")
    return trace


def _store() -> SqlStore:
    """Return the store, which has all that was recorded until now."""
    default().flush()
    return default().store


def _chosen(request: Request) -> list[str]:
    """Return the experiment that is looked at; all of them if none is named."""
    chosen = request.query_params.get("experiment")
    return [chosen] if chosen else _store().experiment_ids()


def _filter(request: Request) -> Filter:
    """Return the filter that was written, with what was chosen beside it."""
    asked = request.query_params
    fits = parse_filter(asked.get("filter", "").strip())
    if (status := asked.get("status")) in TraceState.__members__:
        fits &= where("status", "=", str(status))
    if since := _time(request, "since"):
        fits &= where("timestamp_ms", ">=", since)
    if until := _time(request, "until"):
        fits &= where("timestamp_ms", "<", until)
    return fits


def _time(request: Request, name: str) -> int:
    text = request.query_params.get(name) or "0"
    if not _TIME.fullmatch(text):
        raise HTTPException(400, f"{name} is a time: milliseconds since 1970, in 15 digits at most")
    return int(text)


def _light(trace: Trace) -> dict[str, Any]:
    """Return what a list shows of a trace."""
    info = trace.info
    return {
        "id": info.trace_id,
        "name": info.name,
        "state": info.state.value,
        "time": info.request_time,
        "took": info.execution_duration,
        "usage": info.token_usage,
        "cost": (info.cost or {}).get("total_cost"),
        "request": info.request_preview,
        "response": info.response_preview,
        "session": info.trace_metadata.get(semconv.SESSION),
        "tags": info.tags,
        "feedback": [
            {"name": said.name, "value": said.value} for said in info.assessments if said.valid
        ],
    }


def _said(trace: Trace, room: data.Room) -> dict[str, Any]:
    """Return what was said to a trace and what it answered, or else what went in and came out."""
    root: Span | None = next((s for s in trace.data.spans if s.parent_id is None), None)
    if root is None:
        return {"inputs": None, "outputs": None}
    inputs, outputs = root.inputs, root.outputs
    of_model = root.span_type in MODELS
    asked = spoken.said(inputs, reply=False, of_model=of_model) or inputs
    answered = spoken.said(outputs, reply=True, of_model=of_model) or outputs
    return {"inputs": room.cut(asked), "outputs": room.cut(answered)}
