"""The rules of the house: a small package, whose imports form a DAG in
the order that its docstring gives.
"""

import re

from tests.syntax import FILES, PACKAGE, WEB_ONLY, code_tokens, imported, order


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
    assert code_tokens(PACKAGE / "client.py") <= 2_800
