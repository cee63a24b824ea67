"""The command line: `spanlog demo`."""

from __future__ import annotations

import importlib.util
import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        import click
    except ImportError:
        sys.exit("the command line needs two more packages: pip install 'spanlog[cli]'")

    @click.group()
    def spanlog() -> None:
        """Record what a GenAI program does, and look at it."""

    @spanlog.command()
    @click.argument("question", default="Do I need an umbrella in London or in Tokyo?")
    @click.option("--live", is_flag=True, help="Ask the real model; needs OPENAI_API_KEY.")
    def demo(question: str, live: bool) -> None:
        """Trace a weather agent that answers QUESTION, and show the trace.

        Without --live, a server on this machine answers in place of the model.
        """
        _demo(question, live)

    spanlog()


def _demo(question: str, live: bool) -> None:
    if live and not os.environ.get("OPENAI_API_KEY"):
        sys.exit("--live asks the real model: set OPENAI_API_KEY first")
    if not importlib.util.find_spec("openai"):
        sys.exit("the demo calls a model with OpenAI's SDK: pip install 'spanlog[demo]'")
    import rich
    from spanlog_integrations._demo import agent, model

    from spanlog import fluent, search

    if live:
        answer = agent.weather_agent(question)
    else:
        with model.serve(list(agent.WEATHER)) as url:
            os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="demo")
            answer = agent.weather_agent(question)
    trace = search.get_trace(fluent.get_last_active_trace_id())
    rich.print(f"\n[dim]Question[/dim]  {question}\n[dim]Answer[/dim]    {answer}\n")
    rich.print(trace)
    rich.print(
        f"\nThe trace is kept in [bold]{fluent.get_tracking_uri()}[/bold]. What to do next:\n\n"
        "  import spanlog\n"
        "  spanlog.openai.autolog()      [dim]# in your own program[/dim]\n"
        f'  spanlog.get_trace("{trace.info.trace_id if trace else ""}")\n'
        "  spanlog.search_traces()       [dim]# all of them, as a DataFrame or a list[/dim]\n"
    )


if __name__ == "__main__":
    main()
