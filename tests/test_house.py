"""The rules of the house: a small package, whose imports form a DAG in the order that its docstring gives."""

import ast
import re
from pathlib import Path

import taskmanager

PACKAGE = Path(taskmanager.__file__).parent
APART = "client.py"  # for the other end of the line: it needs httpx, and the package never imports it
FILES = [path for path in PACKAGE.glob("*.py") if path.name != APART]
WEB_ONLY = ["problems", "middleware", "openapi", "stopping", "api"]


def imported(module: str) -> set[str]:
    """The modules of this package that ``module`` imports."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "taskmanager":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("taskmanager."):
            names.add(str(node.module).removeprefix("taskmanager."))
    return names


def order() -> list[str]:
    assert taskmanager.__doc__ is not None
    return re.findall(r"^(\w+)  +\w", taskmanager.__doc__, re.MULTILINE) + WEB_ONLY


def test_the_package_docstring_names_every_module() -> None:
    assert sorted(order()) == sorted(path.stem for path in FILES if path.stem != "__init__")


def test_a_module_imports_only_from_those_above_it() -> None:
    for position, module in enumerate(order()):
        assert imported(module) <= set(order()[:position]), module


def test_the_engine_knows_no_web_framework() -> None:
    for module in set(order()) - set(WEB_ONLY):
        text = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import) (fastapi|starlette|uvicorn)", text, re.MULTILINE), module


def test_nothing_imports_the_client_or_what_it_needs() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(from|import) (httpx|taskmanager\.client)|import .*\bclient\b", text, re.MULTILINE
        ), path


def test_the_package_is_small() -> None:
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert sum(lines.values()) < 1500
    assert max(lines.values()) <= 250
