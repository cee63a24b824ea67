"""The SDKs that Stainless generates: one seam sees every call of OpenAI, Anthropic, Groq, Together.

`_base_client.{Sync,Async}APIClient.request` is entered once for each call, whatever its form:
`create`, `parse`, `.stream()` helpers, raw and streaming responses, retries inside, clients made
before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spanlog.instrument import Call, Integration, Target, TracedCall, traced

from spanlog_integrations.seams.http import Route, Sent, file, finder
from spanlog_integrations.wire import chat

Json = dict[str, Any]


def stainless(
    library: str,
    routes: Sequence[Route],
    provider: Callable[[Any], str],
    tested: tuple[str, str],
) -> Integration:
    """Return the integration of an SDK.

    Args:
        library: The SDK's package.
        routes: Its routes that call a model.
        provider: Names the provider that a client talks to (`gen_ai.provider.name`).
        tested: The oldest and the newest version that it is tested with.
    """
    found = targets(library, routes, provider)
    return Integration(library, library, library, *found, tested=tested)


def targets(
    package: str, routes: Sequence[Route], provider: Callable[[Any], str]
) -> Sequence[Target]:
    """Return what is wrapped of a package that Stainless generated, which may be part of an SDK."""
    find = finder(routes)

    def begin(call: Call) -> TracedCall | None:
        options = call.argument(1, "options")
        streamed = bool(call.kwargs.get("stream"))
        route = find(options.method, str(options.url), streamed)
        if route is None:
            return None
        request = Sent(call.instance, _body(options), route, provider, streamed=streamed)
        request.listen(options)
        return request

    return [
        Target(f"{package}._base_client:SyncAPIClient.request", traced(begin)),
        Target(f"{package}._base_client:AsyncAPIClient.request", traced(begin)),
    ]


def _body(options: Any) -> Json:
    """Return the request's body as it goes over the wire; of files, what they are."""
    data = options.json_data
    body = dict(data) if isinstance(data, Mapping) else {} if data is None else {"body": data}
    body.update(getattr(options, "extra_json", None) or {})
    body = {name: value for name, value in body.items() if type(value).__name__ not in chat.UNSENT}
    files = options.files
    for name, sent in files.items() if isinstance(files, Mapping) else files or ():
        body[name] = [*body[name], file(sent)] if name in body else [file(sent)]
    return body
