"""The package's own source, as test_house.py and the README's tables
read it.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import taskmanager

PACKAGE = Path(taskmanager.__file__).parent
# What stands apart: the engine never imports it, unless it is asked for.
APART = ["client.py", "dask_executor.py", "testing.py"]
FILES = [path for path in PACKAGE.glob("*.py") if path.name not in APART]
WEB_ONLY = ["schemas", "problems", "middleware", "openapi", "stopping", "api"]


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
    return names - {Path(name).stem for name in APART}


def order() -> list[str]:
    assert taskmanager.__doc__ is not None
    return re.findall(r"^(\w+)  +\w", taskmanager.__doc__, re.MULTILINE)
