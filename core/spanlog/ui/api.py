"""What the pages of `spanlog ui` ask for: traces, sessions and charts of the store, as JSON."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from spanlog import feedback, search
from spanlog.assessments import Assessment, AssessmentSource, AssessmentSourceType, Feedback
from spanlog.display import data
from spanlog.entities import SESSION, TraceState
from spanlog.store import StoreError, current_store
from spanlog.store.filters import FilterError, parse_filter
from spanlog.ui.charts import charts

if TYPE_CHECKING:
    from starlette.requests import Request

    from spanlog.entities import Span, Trace

_PAGE, _MOST = 50, 1000
_ME = AssessmentSource(AssessmentSourceType.HUMAN, "spanlog ui")
_ID = re.compile("[0-9A-Za-z]+")
_ORDERS = ("timestamp_ms", "execution_time_ms", "tokens", "cost", "name")
# What a browser may show from here; anything else is only handed over as a file.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "audio/", "video/")


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
    refusals = {FilterError: _refused, StoreError: _refused}
    return Starlette(routes=routes, exception_handlers=refusals)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _refused(_: Request, error: Exception) -> Response:
    status = 400 if isinstance(error, FilterError) else 404
    return Response(orjson.dumps({"error": str(error)}), status, media_type="application/json")


# What is asked for. These run in threads: the store is read there.


def _experiments(_: Request) -> Response:
    return _json([{"id": e.experiment_id, "name": e.name} for e in current_store().experiments()])


def _traces(request: Request) -> Response:
    asked = request.query_params
    order = asked.get("order", _ORDERS[0])
    field, _, direction = order.partition(" ")
    if field not in _ORDERS or direction not in ("", "ASC", "DESC"):
        raise HTTPException(400)
    found = search.find(
        _chosen(request),
        _filter(request),
        _PAGE,
        [order if direction else f"{order} DESC"],
        asked.get("token"),
        include_spans=False,
    )
    return _json({"found": [_light(trace) for trace in found], "token": found.token})


def _trace(request: Request) -> Response:
    return _json(data.outline(_asked(request)))


def _span(request: Request) -> Response:
    asked = request.path_params
    if not all(map(_ID.fullmatch, asked.values())):
        raise HTTPException(404)
    which = f"trace_id = '{asked['trace_id']}' AND span.span_id = '{asked['span_id']}'"
    found = search.find_spans(_every(), which, 1)
    if not found:
        raise HTTPException(404)
    room = data.Room(math.inf, math.inf) if "whole" in request.query_params else data.Room()
    return _json(data.contents(found[0], room))


def _find(request: Request) -> Response:
    text = request.query_params.get("text", "")
    return _json([s.span_id for s in _asked(request).data.spans if data.holds(s, text)])


async def _feedback(request: Request) -> Response:
    """Keep what is said of a trace or a span, change it, or take it back."""
    said = orjson.loads(await request.body() or b"{}")
    return await run_in_threadpool(_FEEDBACK[request.method], said, **request.path_params)


def _say(said: dict[str, Any], trace_id: str) -> Response:
    kept = feedback.log_feedback(
        trace_id=trace_id,
        name=str(said.get("name") or "feedback"),
        value=said["value"],
        rationale=said.get("rationale") or None,
        source=_ME,
        span_id=said.get("span_id"),
    )
    return _json(kept.to_dict())


def _change(said: dict[str, Any], trace_id: str, assessment_id: str) -> Response:
    before = _mine(trace_id, assessment_id)
    after = Feedback(before.name, said["value"], None, _ME, rationale=said.get("rationale") or "")
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
        raise HTTPException(403)
    return found


def _attachment(request: Request) -> Response:
    content = current_store().attachment(request.path_params["sha256"])
    kind = request.query_params.get("type", "")
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    if not kind.startswith(_SHOWN):
        headers["Content-Disposition"] = "attachment"
        kind = "application/octet-stream"
    return Response(content, media_type=kind, headers=headers)


def _sessions(request: Request) -> Response:
    where, token = parse_filter(_filter(request)), request.query_params.get("token")
    page = current_store().sessions(_chosen(request), where, _PAGE, token, include_spans=False)
    found = [{"id": s.id, "traces": [_light(trace) for trace in s]} for s in page]
    return _json({"found": found, "token": page.token})


def _session(request: Request) -> Response:
    session = request.query_params.get("id", "").replace("'", "''")
    found = search.find(_every(), f"session = '{session}'", _MOST, ["timestamp_ms ASC"])
    room = data.Room()
    return _json([{**_light(trace), **_said(trace, room)} for trace in found])


def _charts(request: Request) -> Response:
    until = _number(request, "until") or int(time.time() * 1000)
    where, since = parse_filter(_filter(request)), _number(request, "since")
    return _json(charts(current_store().over_time(_chosen(request), where, since, until)))


def _asked(request: Request) -> Trace:
    trace = search.get_trace(request.path_params["trace_id"], silent=True)
    if trace is None:
        raise HTTPException(404)
    return trace


def _chosen(request: Request) -> list[str]:
    """Return the experiment that is looked at; all of them if none is named."""
    chosen = request.query_params.get("experiment")
    return [chosen] if chosen else _every()


def _every() -> list[str]:
    return [experiment.experiment_id for experiment in current_store().experiments()]


def _filter(request: Request) -> str:
    """Return the filter that was written, with what was chosen beside it."""
    asked = request.query_params
    written = asked.get("filter", "").strip()
    parse_filter(written)  # so that an error tells the place in what was written
    parts = [f"({written})"] if written else []
    if (status := asked.get("status")) in TraceState.__members__:
        parts.append(f"status = '{status}'")
    if since := _number(request, "since"):
        parts.append(f"timestamp_ms >= {since}")
    if until := _number(request, "until"):
        parts.append(f"timestamp_ms < {until}")
    return " AND ".join(parts)


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name) or "0"
    if not text.isdecimal():
        raise HTTPException(400)
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
        "session": info.trace_metadata.get(SESSION),
        "tags": info.tags,
        "feedback": [
            {"name": said.name, "value": said.value} for said in info.assessments if said.valid
        ],
    }


def _said(trace: Trace, room: data.Room) -> dict[str, Any]:
    """Return what went into a trace and what came out of it."""
    root: Span | None = next((s for s in trace.data.spans if s.parent_id is None), None)
    if root is None:
        return {"inputs": None, "outputs": None}
    inputs, outputs = data.plain(root.inputs_json), data.plain(root.outputs_json)
    return {"inputs": room.cut(inputs), "outputs": room.cut(outputs)}
