"""Keeps the README true, by writing what its commands print.

``python -m tests.readme`` runs the session of the README against a
server with default settings and writes the output into it, with the
table of modules; ``python -m tests.readme tables`` writes the table
alone. test_readme.py runs the same, and compares.
"""

import ast
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load import environment
from tests.syntax import (
    APART,
    ENGINE_TOKENS,
    GRANTED,
    PACKAGE,
    code_tokens,
    order,
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


def session(text: str) -> str:
    """The block of commands and their output."""
    found = re.search(
        r"<!-- session -->\n```console\n(.*?)```\n<!-- end of session -->",
        text,
        re.DOTALL,
    )
    assert found is not None
    return found[1]


def run_session(block: str, address: str) -> str:
    """The commands of a block, run, with what they print.

    A command begins with ``$``. An id in a command is one that an
    earlier output showed: the n-th there is replaced by the n-th of
    this run.
    """
    shown = ids_in("".join(re.findall(r"location: .*|^\{.*", block, re.MULTILINE)))
    seen: list[str] = []
    output: list[str] = []
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue

        command = line.removeprefix("$ ")
        for old, new in zip(shown, seen, strict=False):
            command = command.replace(old, new)
        printed = run_command(command.replace("localhost:8000", address))
        seen += [each for each in ids_in(printed) if each not in seen]

        output.append(f"$ {command}")
        output += [row for row in printed.splitlines() if not UNTOLD.match(row)]
        output.append("")
    return "\n".join(output).rstrip() + "\n"


def ids_in(text: str) -> list[str]:
    """The ids in a text, each once, in their order."""
    return list(dict.fromkeys(re.findall(UUID, text)))


def run_command(command: str) -> str:
    """What a command of the README prints."""
    done = subprocess.run(  # noqa: S602 - the README's own commands
        command,
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\r", "")


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


def with_session(text: str) -> str:
    """The README with its session as it is now."""
    with server() as address:
        new = run_session(session(text), address)
    return text.replace(session(text), new)


if __name__ == "__main__":
    page = with_tables(README.read_text(encoding="utf-8"))
    if sys.argv[1:] != ["tables"]:
        page = with_session(page)
    README.write_text(page, encoding="utf-8")
