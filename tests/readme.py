"""Keeps the README true, by writing what its commands print.

``python -m tests.readme`` runs the session of the README against a
server with default settings and writes the output into it, with the
table of modules; ``python -m tests.readme tables`` writes the table
alone. test_readme.py runs the same, and compares.

SITE_URL in the environment is where the course is published: then the
README leads there. Without it, it does not.
"""

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import environment
from tests.syntax import (
    APART,
    ENGINE_TOKENS,
    GRANTED,
    PACKAGE,
    SCRIPT,
    code_tokens,
    order,
    script_tokens,
)

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# What differs from run to run, and tells nothing.
UNTOLD = re.compile(r"(date|server|content-length):")


@contextlib.contextmanager
def server(**settings: str) -> Iterator[str]:
    """A real server on a free port; yields its host and port."""
    with subprocess.Popen(
        [sys.executable, "main.py", "127.0.0.1", "0"],
        cwd=ROOT,
        env=environment(**settings),
        # Not this terminal: uvicorn would use its colours.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"running on http://([\d.]+:\d+)", line):
                    yield found[1]
                    break
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)


class Session(NamedTuple):
    """Commands to paste, and what they print."""

    commands: str
    output: str


def session(text: str) -> Session:
    """The session of the README."""
    found = re.search(
        r"<!-- session -->\n```sh\n(.*?)```\n\n"
        r"```console\n(.*?)```\n<!-- end of session -->",
        text,
        re.DOTALL,
    )
    assert found is not None
    return Session(*found.groups())


def run_session(commands: str, address: str, shell: str = "sh") -> str:
    """What the commands print in this shell, with this server."""
    done = subprocess.run(
        [shell, "-c", commands.replace("localhost:8000", address)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    )
    rows = done.stdout.replace("\r", "").splitlines()
    told = [row.rstrip() for row in rows if not UNTOLD.match(row)]
    return "\n".join(told).rstrip() + "\n"


def modules_table() -> str:
    """The modules in the order to read them, with their code tokens.

    Those that stand apart follow. Beside each is the first sentence of
    its docstring.
    """
    rows = ["| module | code tokens | what it is |", "|---|---|---|"]
    total = code_tokens(PACKAGE / "__init__.py")
    for module in order():
        path = PACKAGE / f"{module}.py"
        total += code_tokens(path)
        rows.append(_row(path))

    free = ENGINE_TOKENS - total
    rows.append(f"| the engine, with `__init__` | {total:,} | {free:,} are free |")
    rows += [f"| granted | {tokens:,} | {why} |" for why, tokens in GRANTED.items()]
    rows += [_row(PACKAGE / name) for name in APART]
    script = script_tokens(SCRIPT.read_text(encoding="utf-8"))
    link = f"[`{SCRIPT.name}`](taskmanager/live/{SCRIPT.name})"
    rows.append(f"| {link} | {script:,} | the script of the page `/live` |")
    return "\n".join(rows)


def _row(path: Path) -> str:
    link = f"[`{path.stem}`](taskmanager/{path.name})"
    return f"| {link} | {code_tokens(path):,} | {summary(path)} |"


def summary(path: Path) -> str:
    """What a module is, as its docstring begins."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    paragraph, *_ = str(docstring).split("\n\n")
    line = paragraph.replace("\n", " ")
    _, colon, rest = line.partition(": ")
    return rest if colon else line


def with_tables(text: str) -> str:
    """The README with its tables as they are now."""
    table = f"<!-- modules -->\n{modules_table()}\n<!-- end of modules -->"
    before, rest = text.split("<!-- modules -->")
    _, after = rest.split("<!-- end of modules -->")
    return before + table + after


def with_button(text: str, address: str) -> str:
    """The README with a line that leads to the site, if there is one.

    ``address`` is empty where the course is published nowhere.
    """
    line = ""
    if address:
        link = f"[Open the course in your browser]({address})"
        line = f"\n**{link}**: there is nothing to install.\n"
    before, rest = text.split("<!-- site -->")
    _, after = rest.split("<!-- end of site -->")
    return f"{before}<!-- site -->{line}<!-- end of site -->{after}"


def with_session(text: str) -> str:
    """The README with its session as it is now."""
    commands, output = session(text)
    with server() as address:
        new = run_session(commands, address)
    return text.replace(f"```console\n{output}", f"```console\n{new}")


if __name__ == "__main__":
    page = with_tables(README.read_text(encoding="utf-8"))
    page = with_button(page, os.environ.get("SITE_URL", ""))
    if sys.argv[1:] != ["tables"]:
        page = with_session(page)
    README.write_text(page, encoding="utf-8")
