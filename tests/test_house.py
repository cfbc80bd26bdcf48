"""The rules of the house, checked over the syntax trees of the source.

The package is small, in code tokens; the imports of its modules form a
DAG in the order that its docstring gives, and so do the folders; one
statement is one thought. Each check is itself shown a piece of code
that breaks its rule.
"""

import ast
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import syntax
from tests.syntax import (
    ENGINE_TOKENS,
    FILES,
    PACKAGE,
    ROOT,
    WEB_ONLY,
    Node,
    code_tokens,
    imported,
    order,
)

Rule = Callable[[ast.Module], Iterator[Node]]

# Code tokens. They are promised in the README, with the reason for each
# raise.
MODULE_TOKENS = 1_900
CLIENT_TOKENS = 3_050
EVENTS_TOKENS = 1_800
SCRIPT_TOKENS = 4_000

SOURCES = [*sorted(PACKAGE.rglob("*.py")), ROOT / "main.py"]

# What each folder may import, beside itself.
BELOW = {
    "taskmanager": set(),
    "main.py": {"taskmanager"},
    "notebooks": {"taskmanager", "main"},
    "benchmarks": {"taskmanager", "main"},
    "tests": {
        "taskmanager",
        "main",
        "notebooks",
        "benchmarks",
    },
}


def breaches(rule: Rule) -> list[str]:
    """Where the engine breaks a rule."""
    found = []
    for path in SOURCES:
        nodes = set(rule(syntax.tree_of(path)))
        by_line = sorted(nodes, key=lambda node: node.lineno)
        found += [syntax.told(path, node) for node in by_line]
    return found


def positions_in_named_tuples(tree: ast.Module) -> Iterator[Node]:
    """``decision[1:]`` and ``decision[1]``, of a NamedTuple."""
    makers = syntax.named_tuples([tree]) | named_tuples_of_the_engine()
    return syntax.positions_in_named_tuples(tree, makers)


@functools.cache
def named_tuples_of_the_engine() -> set[str]:
    return syntax.named_tuples(map(syntax.tree_of, SOURCES))


# Modules and folders


def test_the_package_docstring_names_every_module() -> None:
    modules = {path.stem for path in FILES} - {"__init__"}
    assert sorted(order()) == sorted(modules)


def test_a_module_imports_only_from_those_above_it() -> None:
    for position, module in enumerate(order()):
        assert imported(module) <= set(order()[:position]), module


def test_the_engine_knows_no_web_framework() -> None:
    for module in set(order()) - set(WEB_ONLY):
        text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(from|import) (fastapi|starlette|uvicorn)", text, re.MULTILINE
        ), module


def test_nothing_imports_the_client_or_what_it_needs() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(from|import) (httpx|taskmanager\.client)|import .*\bclient\b",
            text,
            re.MULTILINE,
        ), path


def imports_across(folder: str) -> dict[Path, set[str]]:
    """What each file of a folder imports of others, of the project."""
    place = ROOT / folder
    modules = [place] if place.is_file() else sorted(place.rglob("*.py"))
    trees = {path: syntax.tree_of(path) for path in modules}
    trees |= {path: syntax.cells(path) for path in sorted(place.rglob("*.ipynb"))}

    others = {name.removesuffix(".py") for name in BELOW if name != folder}
    return {path: syntax.roots_imported(tree) & others for path, tree in trees.items()}


@pytest.mark.slow
@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_from_those_below_it(folder: str) -> None:
    imports = imports_across(folder)
    assert imports

    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, names in imports.items()
        for name in sorted(names - BELOW[folder])
    ]
    assert not found, "\n".join(found)


def test_the_map_of_the_tests_names_each_of_them() -> None:
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+(?:\.py|/))`", page))

    tests = ROOT / "tests"
    files = {path.name for path in tests.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in tests.glob("*/__init__.py")}
    assert files | folders <= named


def test_imports_are_seen_in_modules_and_in_notebooks() -> None:
    lessons = imports_across("notebooks").items()
    kinds = {path.suffix for path, names in lessons if "taskmanager" in names}
    assert kinds == {".py", ".ipynb"}

    tree = ast.parse("import tests.helpers as h\nasync def f():\n    import benchmarks")
    assert syntax.roots_imported(tree) == {"tests", "benchmarks"}


# Size


def test_the_engine_is_small() -> None:
    total = sum(code_tokens(path) for path in FILES)
    assert total <= ENGINE_TOKENS, f"the engine has {total} code tokens"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_module_is_small(path: Path) -> None:
    tokens = code_tokens(path)
    assert tokens <= MODULE_TOKENS, f"{path.name} has {tokens} code tokens"


def test_the_client_is_small() -> None:
    tokens = code_tokens(PACKAGE / "client.py")
    assert tokens <= CLIENT_TOKENS, f"the client has {tokens} code tokens"


def test_the_events_and_the_page_are_small() -> None:
    total = sum(code_tokens(PACKAGE / name) for name in ("events.py", "watch.py"))
    assert total <= EVENTS_TOKENS, f"events and watch have {total} code tokens"

    script = syntax.script_tokens(syntax.SCRIPT.read_text(encoding="utf-8"))
    assert script <= SCRIPT_TOKENS, f"the script has {script} tokens"


@pytest.mark.parametrize(
    ("script", "tokens"),
    [
        ("// nothing\n/* nor\n this */", 0),
        ("let a = 1; // one", 5),
        ('say("a // b", `${c} d`);', 7),
        ("a?.b ?? [...c];", 9),
        ("x => x.y === 'z';", 8),
    ],
)
def test_the_tokens_of_a_script_are_counted(script: str, tokens: int) -> None:
    assert syntax.script_tokens(script) == tokens


def test_what_helps_a_reader_is_no_code_token(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Says it all."""\n\n# A comment.\nx = 1  # seconds\n\n\ny = x\n')
    assert code_tokens(path) == 6


def test_an_f_string_is_one_code_token(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("x = f\"{a:>{b + c}} and {f'{d}'}\"\n")
    assert code_tokens(path) == 3


# Style

RULES = [
    syntax.packed_assignments,
    syntax.chained_assignments,
    syntax.walrus_in_calls,
    syntax.nested_conditionals,
    syntax.positions,
    positions_in_named_tuples,
    syntax.private_names_of_others,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_engine_keeps_the_rule(rule: Rule) -> None:
    found = breaches(rule)
    assert not found, "\n".join([*str(rule.__doc__).splitlines()[:1], *found])


def test_cancelled_error_is_swallowed_in_one_place_at_most() -> None:
    found = breaches(syntax.swallowed_cancellations)
    assert len(found) <= 1, "\n".join(found)


def test_the_place_that_swallows_cancelled_error_says_why() -> None:
    for path in SOURCES:
        comments = syntax.comments(path)
        for node in syntax.swallowed_cancellations(syntax.tree_of(path)):
            assert node.end_lineno is not None
            lines = set(range(node.lineno - 1, node.end_lineno + 1))
            assert lines & comments.keys(), syntax.told(path, node)


NAMED_TUPLE = "class Pair(NamedTuple):\n    a: int\n    b: int\n"


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (syntax.packed_assignments, "a, b = 1, 2"),
        (syntax.packed_assignments, "self.a, self.b = [a, b]"),
        (syntax.packed_assignments, "a, *b = 1, *c"),
        (syntax.packed_assignments, "a, b = (1, 2) if c else (3, 4)"),
        (syntax.packed_assignments, "(a, b), c = d, e"),
        (syntax.packed_assignments, "a, b = a, a"),
        (syntax.chained_assignments, "a = b = 1"),
        (syntax.walrus_in_calls, "f(a := 1)"),
        (syntax.walrus_in_calls, "f(x=(a := 1))"),
        (syntax.walrus_in_calls, "f(1 + (a := 1))"),
        (syntax.walrus_in_calls, "any((b := a) for a in c)"),
        (syntax.nested_conditionals, "f(a if b else c)"),
        (syntax.nested_conditionals, "f(x=a if b else c)"),
        (syntax.nested_conditionals, "a = (b if c else d, e)"),
        (syntax.nested_conditionals, "a = b + (c if d else e)"),
        (syntax.nested_conditionals, "a = b if c else (d if e else f)"),
        (syntax.nested_conditionals, "def f(a=b if c else d): pass"),
        (syntax.nested_conditionals, "for a in b if c else d: pass"),
        (syntax.positions, "task.place[1]"),
        (syntax.positions, "items[0][1]"),
        (syntax.positions, "items[-1][0]"),
        (syntax.positions, "items[a][-1]"),
        (positions_in_named_tuples, "def f():\n    pair = Pair(1, 2)\n    pair[1:]"),
        (positions_in_named_tuples, "def f(pair: Pair | None):\n    return pair[:1]"),
        (positions_in_named_tuples, "def f():\n    return m.Pair(1, 2)[:1]"),
        (
            positions_in_named_tuples,
            "def g() -> 'Pair':\n    pass\ndef f():\n    return g()[1]",
        ),
        (
            positions_in_named_tuples,
            "async def g() -> Pair:\n    pass\n"
            "async def f():\n    a = await g()\n    return a[1]",
        ),
        (
            positions_in_named_tuples,
            "class A:\n    last: Pair\ndef f(a):\n    return a.last[1:]",
        ),
        (
            positions_in_named_tuples,
            "def f():\n    if pair := Pair(1, 2):\n        return pair[1:]",
        ),
        (syntax.private_names_of_others, "from m import _x"),
        (syntax.private_names_of_others, "from m._x import y"),
        (syntax.private_names_of_others, "import m._x"),
        (syntax.private_names_of_others, "module._x"),
        (syntax.private_names_of_others, "other_object._x = 1"),
        (syntax.private_names_of_others, "self.other._x()"),
        (syntax.private_names_of_others, "getattr(other_object, '_x')"),
        (syntax.private_names_of_others, "def f(_x): module._x"),
        (syntax.swallowed_cancellations, "try: f()\nexcept CancelledError: pass"),
        (syntax.swallowed_cancellations, "try: f()\nexcept BaseException: pass"),
        (syntax.swallowed_cancellations, "try: f()\nexcept: pass"),
        (
            syntax.swallowed_cancellations,
            "try: f()\nexcept (ValueError, asyncio.CancelledError): pass",
        ),
        (
            syntax.swallowed_cancellations,
            "try: f()\nexcept CancelledError:\n    if a: raise",
        ),
        (
            syntax.swallowed_cancellations,
            "try: f()\nexcept CancelledError:\n    raise ValueError",
        ),
        (
            syntax.swallowed_cancellations,
            "with contextlib.suppress(asyncio.CancelledError): f()",
        ),
    ],
)
def test_what_breaks_a_rule_is_found(rule: Rule, code: str) -> None:
    assert len(list(rule(ast.parse(NAMED_TUPLE + code)))) == 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (syntax.packed_assignments, "a, b = f()"),
        (syntax.packed_assignments, "a, b = b, a"),
        (syntax.packed_assignments, "a[0], a[1] = a[1], a[0]"),
        (syntax.packed_assignments, "a = 1, 2"),
        (syntax.packed_assignments, "for a, b in c: pass"),
        (syntax.chained_assignments, "a = b == c"),
        (syntax.walrus_in_calls, "while (a := f(b)): pass"),
        (syntax.nested_conditionals, "a = b if c else d"),
        (syntax.nested_conditionals, "def f():\n    return b if c else d"),
        (syntax.nested_conditionals, "lambda: b if c else d"),
        (syntax.positions, "self.queue[-1]"),
        (syntax.positions, "items[0]"),
        (syntax.positions, "self.items[key]"),
        (syntax.positions, "self.items[1:]"),
        (positions_in_named_tuples, "def f():\n    a = Pair(1, 2)\n    return a.b"),
        (positions_in_named_tuples, "def f():\n    a = Pair(1, 2)\ndef g(a): a[1:]"),
        (positions_in_named_tuples, "def f(a: list[Pair]):\n    return a[1:]"),
        (syntax.private_names_of_others, "from m import _"),
        (syntax.private_names_of_others, "from __future__ import annotations"),
        (syntax.private_names_of_others, "self._x"),
        (syntax.private_names_of_others, "super()._x()"),
        (syntax.private_names_of_others, "pair._replace(a=1).__dict__"),
        (syntax.private_names_of_others, "def _x(): pass\nmodule._x"),
        (
            syntax.private_names_of_others,
            "class A:\n"
            "    def f(self): self._x = 1\n"
            "    def __eq__(self, other): return self._x == other._x",
        ),
        (syntax.private_names_of_others, "getattr(self, '_x')"),
        (syntax.private_names_of_others, "getattr(other_object, name)"),
        (syntax.swallowed_cancellations, "try: f()\nexcept Exception: pass"),
        (
            syntax.swallowed_cancellations,
            "try: f()\nexcept CancelledError:\n    g()\n    raise",
        ),
        (syntax.swallowed_cancellations, "with suppress(ValueError): f()"),
    ],
)
def test_what_keeps_a_rule_is_not_found(rule: Rule, code: str) -> None:
    assert not list(rule(ast.parse(NAMED_TUPLE + code)))
