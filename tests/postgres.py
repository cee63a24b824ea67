"""A PostgreSQL server for the tests, and in it a schema of its own for each that wants one.

`SPANLOG_TEST_POSTGRES` names a server by its URL. Without it, Debian's package starts one in a
temporary directory; root installs the package where it is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

# The tests' data is worth nothing: it is not forced to the disk.
_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


@contextmanager
def server() -> Iterator[str]:
    """Return the URL of a server; where there is none, the test is skipped with a word."""
    given = os.environ.get("SPANLOG_TEST_POSTGRES")
    if given:
        yield given
        return
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="spanlog-postgres-"))  # sockets' paths are to be short
    try:
        if _is_root():
            shutil.chown(folder, "postgres")
        data = folder / "data"
        made = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", "--username=postgres"]
        _run(programs / "initdb", "-D", data, "--no-sync", *made)
        how = f"{_FAST} -c listen_addresses= -c unix_socket_directories={folder}"
        _run(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-o", how, "-w", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def schema(url: str) -> Iterator[str]:
    """Return the URL of a new schema of a server, which goes away afterwards."""
    import psycopg

    name = f"spanlog_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            connection.execute("SET client_min_messages = warning")
            connection.execute(f"DROP SCHEMA {name} CASCADE")


def _is_root() -> bool:
    return hasattr(os, "getuid") and os.getuid() == 0


def _programs() -> Path:
    """Return the folder of the server's programs."""
    found = _installed()
    if not found and _is_root() and shutil.which("apt-get"):
        install = "apt-get update -q && apt-get install -qy postgresql"
        subprocess.run(install, shell=True, check=False, capture_output=True)
        found = _installed()
    if not found:
        pytest.skip("there is no PostgreSQL: install it, or name one in SPANLOG_TEST_POSTGRES")
    return found[-1]


def _installed() -> list[Path]:
    on_path = shutil.which("initdb")
    others = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = [Path(on_path)] if on_path else sorted(others, key=lambda p: float(p.parts[-3]))
    return [path.resolve().parent for path in found]


def _run(program: Path, *arguments: str | Path) -> None:
    """Run a program of the server, which refuses to be run by root."""
    who = ["runuser", "-u", "postgres", "--"] if _is_root() else []
    command = [*who, str(program), *map(str, arguments)]
    # Its output goes to a file: a pipe would wait for the server that it starts.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(command, stdout=output, stderr=output, cwd="/")
        output.seek(0)
        assert done.returncode == 0, output.read()
