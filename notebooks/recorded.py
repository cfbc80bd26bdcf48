"""What a cell has shown elsewhere, for a browser that cannot run it.

A browser has no sockets, processes, signals and threads. A cell that
needs one has the tag NOT_HERE in its notebook's metadata, and the site
begins it with ``%%recorded``: that runs nothing, says so, and shows the
outputs with which the notebook was committed. So does a cell below that
uses what such a cell would have found.

Rule: what was not run is never shown as if it had been.
"""

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The tag of a cell that a browser does not run.
NOT_HERE = "not-in-a-browser"
MAGIC = "%%recorded"
FILE = "recorded.json"
NOT_RUN = (
    "A browser has no processes, threads and sockets, so this cell was not run. "
    "On a computer,\nit has shown:\n"
)
FOLLOWS = (
    "This cell needs what a cell above would have found, which was not run here. "
    "On a computer,\nit has shown:\n"
)
# By which a value can be used.
USES = [
    "__add__",
    "__bool__",
    "__call__",
    "__contains__",
    "__enter__",
    "__eq__",
    "__exit__",
    "__float__",
    "__format__",
    "__ge__",
    "__getattr__",
    "__getitem__",
    "__gt__",
    "__iter__",
    "__le__",
    "__len__",
    "__lt__",
    "__mul__",
    "__ne__",
    "__radd__",
    "__rmul__",
    "__rsub__",
    "__rtruediv__",
    "__setitem__",
    "__str__",
    "__sub__",
    "__truediv__",
]


class NotRunError(Exception):
    """A cell uses what another would have found, had it been run."""


def _refuse(*_: object) -> Any:
    raise NotRunError


# Stands in the place of whatever was not found. Each use raises
# NotRunError.
NotFound = type("NotFound", (), dict.fromkeys(USES, _refuse))


def key_of(source: str) -> str:
    """By which a cell's outputs are found again."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:16]


def names_set_by(source: str) -> set[str]:
    """The names to which a cell gives a value, or whose it changes."""
    return set(_names(ast.parse(source)))


def definitions_in(source: str) -> str:
    """The functions and constants of a cell: what needs no running."""
    cell = ast.parse(source)
    changes = Counter(_names(cell))
    kept = [each for each in cell.body if _only_defines(each, changes)]
    return "\n".join(map(ast.unparse, kept))


def _only_defines(statement: ast.stmt, changes: Counter[str]) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    # What is changed later is no constant.
    once = all(changes[name] == 1 for name in _names(statement))
    if not isinstance(statement, ast.Assign) or not once:
        return False
    try:
        ast.literal_eval(statement.value)
    except ValueError:
        return False
    return True


def _names(node: ast.AST) -> Iterator[str]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name
            continue
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif _changes(each):
            yield from _base(each)
        yield from _names(each)


def _changes(node: ast.AST) -> bool:
    """Whether it gives a part of some value another value."""
    if not isinstance(node, ast.Subscript | ast.Attribute):
        return False
    return isinstance(node.ctx, ast.Store)


def _base(node: ast.AST) -> Iterator[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


class Recorder:
    """Shows in a shell of IPython what was recorded."""

    def __init__(self, shell: Any) -> None:
        path = Path(__file__).with_name(FILE)
        self._recorded = json.loads(path.read_text(encoding="utf-8"))
        self._shell = shell
        self._source = ""
        shell.events.register("pre_run_cell", self._note)
        shell.register_magic_function(self.magic, "cell", MAGIC.lstrip("%"))
        shell.set_custom_exc((NotRunError,), self._follow)

    def _note(self, info: Any) -> None:
        self._source = info.raw_cell

    def magic(self, line: str, cell: str) -> None:
        """Show what ``cell`` has shown, and run nothing of it.

        What it defines is there afterwards, as a cell below may use it.
        """
        for name in names_set_by(cell):
            self._shell.user_ns[name] = NotFound()
        exec(definitions_in(cell), self._shell.user_ns)  # noqa: S102
        self._show(NOT_RUN, cell)

    def _follow(self, shell: Any, *_: Any, **__: Any) -> None:
        from IPython import display as displayed

        clear_output: Any = displayed.clear_output
        # What it has printed until then is shown again.
        clear_output()
        for name in names_set_by(self._source):
            shell.user_ns[name] = NotFound()
        self._show(FOLLOWS, self._source)

    def _show(self, words: str, source: str) -> None:
        from IPython import display as displayed

        display: Any = displayed.display
        outputs = self._recorded.get(key_of(source), [])
        print(words if outputs else words.partition(" On a computer")[0])
        for output in outputs:
            if output["output_type"] == "stream":
                print("".join(output["text"]), end="")
                continue
            data = {kind: _joined(each) for kind, each in output["data"].items()}
            display(data, metadata=output["metadata"], raw=True)


def _joined(data: Any) -> Any:
    return "".join(data) if isinstance(data, list) else data
