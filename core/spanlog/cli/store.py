"""Which store is looked into, and what is looked for there. Nothing is ever made by looking."""

from __future__ import annotations

import datetime as dt
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from spanlog import config
from spanlog.runtime import default

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.model.trace import PagedList, Trace
    from spanlog.store.filters import Filter
    from spanlog.store.sql import SqlStore

C = TypeVar("C", bound="Callable[..., Any]")

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
# How many traces are named where a part of an id is that of several: enough to see what to add.
_NAMED = 6
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

store_option = click.option(
    "--store", metavar="PATH", help="Another store: a path of a file, or a database URL."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _moment(_: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Return a time, or how long ago it is, as milliseconds since 1970."""
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            then = time.time() - float(ago[1]) * _SECONDS[ago[2]]
        else:
            then = dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        problem = f"{text!r} is no time. Times are like 30m, 2h, 7d, or 2026-01-31T12:00."
        raise click.BadParameter(problem, param=param) from None
    return round(then * 1_000)


def filter_options(command: C) -> C:
    """Give a command the options that say which traces are meant."""
    for option in (
        click.option(
            "--before", metavar="TIME", callback=_moment, help="Only those that began before."
        ),
        click.option(
            "--since",
            metavar="TIME",
            callback=_moment,
            help="Only those that began since: 30m, 2h, 7d ago, or 2026-01-31T12:00.",
        ),
        click.option("--experiment", metavar="NAME", help="Only those of this experiment."),
    ):
        command = option(command)
    return command


def opened(uri: str | None) -> SqlStore:
    """Open the store that is meant.

    Raises:
        click.ClickException: There is none.
        StoreError: It cannot be opened.
    """
    url = location(uri)
    if not exists(url):
        raise click.ClickException(
            f"there is no trace store at {place(url)}. "
            "Name one with --store or SPANLOG_TRACKING_URI."
        )
    return default().move(url)


def exists(url: str) -> bool:
    """Say whether there is a store to open at a database URL. Looking makes none, as opening does.

    Raises:
        StoreError: It cannot be asked.
    """
    from spanlog.store import database

    return database.exists(url)


def location(uri: str | None) -> str:
    """Return the database URL of the store that is meant.

    Raises:
        click.ClickException: It is a directory.
    """
    url = config.database_url(uri or default().settings.tracking_uri)
    if url.startswith("sqlite:///") and Path(place(url)).is_dir():
        raise click.ClickException(
            f"{place(url)} is a directory. Name the file in it: --store {place(url)}/spanlog.db"
        )
    return url


def place(url: str) -> str:
    """Return a database URL as people write it: the path of a file, and no password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "an address that is not one"


def condition(
    text: str | None,
    experiment: str | None = None,
    since: int | None = None,
    before: int | None = None,
) -> Filter:
    """Return one filter that says all of it; its node is None if nothing is said.

    Raises:
        click.UsageError: The filter does not parse.
    """
    from spanlog.store.filters import FilterError, parse_filter, where

    try:
        fits = parse_filter(text)
    except FilterError as error:
        raise click.UsageError(str(error)) from None
    if experiment is not None:
        fits &= where("experiment", "=", experiment)
    if since is not None:
        fits &= where("timestamp_ms", ">=", since)
    if before is not None:
        fits &= where("timestamp_ms", "<", before)
    return fits


def none_found(where: Filter) -> str:
    """Return what to say where no trace fits."""
    return "There are no traces yet." if where.node is None else "There are no such traces."


def find(
    store: SqlStore,
    where: Filter,
    max_results: int | None = None,
    order_by: tuple[str, ...] = (),
    *,
    include_spans: bool = False,
) -> PagedList[Trace]:
    """Return the traces of all experiments that fit a filter.

    Raises:
        click.UsageError: The order does not parse.
    """
    from spanlog.store.filters import FilterError, parse_order

    try:
        order = parse_order(order_by)
    except FilterError as error:
        raise click.UsageError(str(error)) from None
    ids = store.experiment_ids()
    return store.search(ids, where, order, max_results, include_spans=include_spans)


def trace_id(store: SqlStore, text: str) -> str:
    """Return the id of the trace that is meant by an id, its beginning or end, or `last`.

    Raises:
        click.ClickException: There is none, or there are several.
    """
    from spanlog.store.filters import Filter, where

    if text == "last":
        fits = Filter()
    elif re.fullmatch(r"[A-Za-z0-9-]+", text):
        fits = where("trace_id", "LIKE", f"{text}%") | where("trace_id", "LIKE", f"%{text}")
    else:
        raise click.ClickException(f"{text!r} is not the id of a trace")
    found = find(store, fits, max_results=1 if text == "last" else _NAMED)
    if not found:
        there = "is no trace" if text == "last" else f"is no trace whose id begins or ends {text}"
        raise click.ClickException(f"there {there} in {place(store.url)}")
    if len(found) > 1:
        ids = "\n".join(f"  {trace.info.trace_id}  {trace.info.name}" for trace in found)
        raise click.ClickException(f"the ids of several traces begin or end {text}:\n{ids}")
    return found[0].info.trace_id
