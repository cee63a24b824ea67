"""Ollama's SDK: chat, completions, embeddings; sync and async, streamed and not."""

from spanlog.instrument import Integration, ModelCall, SpanType, Target, traced

ROUTES = {
    "/api/chat": ("chat", SpanType.CHAT_MODEL),
    "/api/generate": ("text_completion", SpanType.LLM),
    "/api/embed": ("embeddings", SpanType.EMBEDDING),
}
FACTS = {
    "model": "gen_ai.response.model",
    "prompt_eval_count": "gen_ai.usage.input_tokens",
    "eval_count": "gen_ai.usage.output_tokens",
}


class OllamaCall(ModelCall):
    def read(self, span, reply):
        for theirs, ours in FACTS.items():
            if reply.get(theirs) is not None:
                span.set_attribute(ours, reply[theirs])
        if reply.get("done_reason"):
            span.set_attribute("gen_ai.response.finish_reasons", [reply["done_reason"]])

    def fold(self, chunks):
        if "message" not in chunks[-1]:
            return {**chunks[-1], "response": "".join(chunk["response"] for chunk in chunks)}
        message = {}
        for chunk in chunks:
            for name, piece in chunk["message"].items():
                spelled = name in message and name != "role" and piece is not None
                message[name] = message[name] + piece if spelled else message.get(name) or piece
        return {**chunks[-1], "message": message}


def begin(call):
    path, body = call.argument(2, "url"), call.kwargs.get("json")
    if path not in ROUTES:
        return None
    operation, span_type = ROUTES[path]
    return OllamaCall("ollama", body["model"], body, operation=operation, span_type=span_type)


integration = Integration(
    "ollama",
    "ollama",
    "ollama",
    Target("ollama._client:Client._request", traced(begin)),
    Target("ollama._client:AsyncClient._request", traced(begin)),
    tested=("0.6.3", "0.6.3"),
)
autolog = integration.autolog
