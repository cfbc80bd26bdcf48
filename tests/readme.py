"""Keeps the README true: reads its commands and code, and writes what
they print.

``python -m tests.readme`` runs the session of the README against a
server with default settings and writes the output into it, with the
table of modules. test_readme.py runs the same, and compares.
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
from tests.syntax import PACKAGE, code_tokens, order

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@contextlib.contextmanager
def server(**settings: str) -> Iterator[str]:
    """A real server on a free port; yields its host and port."""
    command = [sys.executable, "main.py", "127.0.0.1", "0"]
    # not this terminal: uvicorn would use its colours
    environ, nowhere = environment(**settings), subprocess.DEVNULL
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdout=nowhere,
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
    """Run the commands of the block, which begin with ``$``, and return
    them with what they print.

    An id in a command is one that an earlier output showed: the n-th
    there is replaced by the n-th of this run.
    """
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    shown = list(
        dict.fromkeys(
            re.findall(
                UUID, "".join(re.findall(r"location: .*|^\{.*", block, re.MULTILINE))
            )
        )
    )
    seen: list[str] = []
    output = []
    for command in commands:
        actual = re.sub(UUID, lambda id_: seen[shown.index(id_[0])], command)
        printed = subprocess.run(  # noqa: S602 - the README's own commands
            actual.replace("localhost:8000", address),
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.replace("\r", "")
        seen.extend(id_ for id_ in re.findall(UUID, printed) if id_ not in seen)
        lines = [
            line
            for line in printed.splitlines()
            if not re.match(r"(date|server|content-length):", line)
        ]
        output += [f"$ {actual}", *lines, ""]
    return "\n".join(output).rstrip() + "\n"


def modules_table() -> str:
    """The modules in the order to read them, with their code tokens and
    the first line of each docstring.
    """
    rows = ["| module | code tokens | what it is |", "|---|---|---|"]
    total = code_tokens(PACKAGE / "__init__.py")
    for module in order():
        path = PACKAGE / f"{module}.py"
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        summary = str(docstring).split("\n\n")[0].replace("\n", " ").split(": ", 1)[-1]
        tokens = code_tokens(path)
        total += tokens
        rows.append(
            f"| [`{module}`](taskmanager/{module}.py) | {tokens:,} | {summary} |"
        )
    return "\n".join([*rows, f"| all, with `__init__` | {total:,} | |"])


def refresh() -> None:
    text = README.read_text(encoding="utf-8")
    modules = f"<!-- modules -->\n{modules_table()}\n<!-- end of modules -->"
    text = re.sub(
        r"<!-- modules -->.*<!-- end of modules -->",
        lambda _: modules,
        text,
        flags=re.DOTALL,
    )
    with server() as address:
        new = run_session(session(text), address)
    README.write_text(text.replace(session(text), new), encoding="utf-8")


if __name__ == "__main__":
    refresh()
