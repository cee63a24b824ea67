"""Mistakes of a user's, each of which a type checker must find on its line."""

import spanlog


@spanlog.trace
def plain(x: int) -> int:
    return x


spanlog.openai.autolog(log_traces="yes")
plain("a")
spanlog.start_span(name=1)
spanlog.search_traces(return_type="tuple")
