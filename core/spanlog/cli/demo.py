"""`spanlog demo`: trace a small agent, and show the trace."""

from __future__ import annotations

import importlib.util
import os

import click

from spanlog.cli.store import json_option, location, store_option


@click.command()
@click.argument("question", default="Do I need an umbrella in London or in Tokyo?")
@click.option("--live", is_flag=True, help="Ask the real model; needs OPENAI_API_KEY.")
@store_option
@json_option
def demo(question: str, live: bool, store: str | None, as_json: bool) -> None:
    """Trace a weather agent that answers QUESTION, and show the trace.

    Without --live, a server on this machine answers in place of the model.
    """
    if live and not os.environ.get("OPENAI_API_KEY"):
        raise click.UsageError("--live asks the real model: set OPENAI_API_KEY first")
    if not importlib.util.find_spec("openai"):
        raise click.ClickException(
            "the demo calls a model with OpenAI's SDK: pip install 'spanlog[demo]'"
        )
    import rich
    from spanlog_integrations._demo import agent, model

    from spanlog.api import search, setup
    from spanlog.cli.output import put_json_text
    from spanlog.record.manual import get_last_active_trace_id

    setup.set_tracking_uri(location(store))
    if live:
        answer = agent.weather_agent(question)
    else:
        with model.serve(list(agent.WEATHER)) as url:
            os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="demo")
            answer = agent.weather_agent(question)
    trace = search.get_trace(get_last_active_trace_id())
    if trace is None:
        raise click.ClickException("nothing was recorded")
    if as_json:
        put_json_text(trace.to_json())
        return
    rich.print(f"\n[dim]Question[/dim]  {question}\n[dim]Answer[/dim]    {answer}\n")
    rich.print(trace)
    rich.print(
        f"\nThe trace is kept in [bold]{setup.get_tracking_uri()}[/bold]. What to do next:\n\n"
        "  spanlog show last --io        [dim]# what was said; or: spanlog traces[/dim]\n"
        "  spanlog run your_program.py   [dim]# record your own program, or in it:[/dim]\n\n"
        "  import spanlog\n"
        "  spanlog.autolog()\n"
        "  spanlog.search_traces()       [dim]# all traces, as a DataFrame or a list[/dim]\n"
    )
