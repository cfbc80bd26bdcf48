"""The rules of the house: a small package, whose imports form a DAG in
the order that its docstring gives.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import taskmanager

PACKAGE = Path(taskmanager.__file__).parent
# for the other end of the line: it needs httpx, and the package never
# imports it
APART = "client.py"
FILES = [path for path in PACKAGE.glob("*.py") if path.name != APART]
WEB_ONLY = ["problems", "middleware", "openapi", "stopping", "api"]


NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def code_tokens(path: Path) -> int:
    """The tokens of a file, without comments, docstrings and blank lines."""
    text = path.read_text(encoding="utf-8")
    docstrings: set[int] = set()  # their lines
    for node in ast.walk(ast.parse(text)):
        if not isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ):
            continue
        if ast.get_docstring(node) is not None:
            first = node.body[0]
            assert first.end_lineno is not None
            docstrings |= set(range(first.lineno, first.end_lineno + 1))

    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(
        token.type not in NO_CODE and token.start[0] not in docstrings
        for token in tokens
    )


def imported(module: str) -> set[str]:
    """The modules of this package that ``module`` imports."""
    names = set()
    for node in ast.walk(
        ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    ):
        if isinstance(node, ast.ImportFrom) and node.module == "taskmanager":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "taskmanager."
        ):
            names.add(str(node.module).removeprefix("taskmanager."))
    return names


def order() -> list[str]:
    assert taskmanager.__doc__ is not None
    return re.findall(r"^(\w+)  +\w", taskmanager.__doc__, re.MULTILINE) + WEB_ONLY


def test_the_package_docstring_names_every_module() -> None:
    assert sorted(order()) == sorted(
        path.stem for path in FILES if path.stem != "__init__"
    )


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


def test_the_package_is_small() -> None:
    tokens = {path.name: code_tokens(path) for path in FILES}
    assert sum(tokens.values()) <= 12_000
    assert max(tokens.values()) <= 1_900


def test_the_client_is_small() -> None:
    assert code_tokens(PACKAGE / APART) <= 2_800
