"""Source: the files of a solution, which show what it is made of.

Rule: it reads the modules that the solution's own folder holds and its
app imports, and nothing that is installed.
"""

import ast
import copy
from pathlib import Path
from typing import Any, NamedTuple

from tests.conformance.api import NotGradedError
from tests.conformance.solution import Solution

# Folders that hold a project's source, and not its README.
SOURCES = (
    "src",
    "app",
    "api",
    "backend",
)
# What may have a docstring.
DOCUMENTED = (
    ast.Module,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise NotGradedError(f"this Python cannot read {path.name}: {error}") from None


def _origin(node: ast.ImportFrom, package: str) -> str:
    """From which module or package something is imported."""
    module = node.module or ""
    if not node.level:
        return module

    parents = package.split(".")
    above = parents[: len(parents) - node.level + 1]
    return ".".join([*above, module]).strip(".")


def _documented(tree: ast.Module) -> list[Any]:
    """All that has a docstring."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None
    ]


class Line(NamedTuple):
    """One line of the source."""

    place: str
    length: int
    # Whether it is part of a docstring, or a comment.
    is_prose: bool


class Source:
    """The parsed modules of a solution, by path."""

    def __init__(self, solution: Solution) -> None:
        self.folder = solution.folder
        self.modules: dict[Path, ast.Module] = {}
        self._add(solution.app.partition(":")[0])
        if not self.modules:
            raise NotGradedError(
                f"the source of {solution.app} is not in {self.folder}"
            )

    def _add(self, name: str) -> None:
        """Read a module, all that it imports, and its packages."""
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            base = self.folder.joinpath(*parts[:length])
            self._add_file(base.with_suffix(".py"), module.rpartition(".")[0])
            self._add_file(base / "__init__.py", module)

    def _add_file(self, path: Path, package: str) -> None:
        if path in self.modules or not path.is_file():
            return

        tree = _parsed(path)
        self.modules[path] = tree
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._add(alias.name)
            elif isinstance(node, ast.ImportFrom):
                origin = _origin(node, package)
                self._add(origin)
                # What is imported may be a module, too.
                for alias in node.names:
                    self._add(f"{origin}.{alias.name}".removeprefix("."))

    @property
    def project(self) -> list[Path]:
        """Where its README and tests may be."""
        if self.folder.name in SOURCES:
            return [self.folder, self.folder.parent]
        return [self.folder]

    def nodes(self, *kinds: type[ast.AST]) -> list[ast.AST]:
        return [
            node
            for tree in self.modules.values()
            for node in ast.walk(tree)
            if isinstance(node, kinds)
        ]

    def imports(self) -> set[str]:
        """The top-level packages that are imported."""
        names = set()
        for node in self.nodes(ast.Import, ast.ImportFrom):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
        return names

    def uses(self, module: str, *names: str) -> bool:
        """Whether one of these names of a module is used.

        However it was imported; the module is of the standard library.
        """
        modules = {module}
        meant = set[str]()
        for node in self.nodes(ast.Import, ast.ImportFrom):
            if isinstance(node, ast.Import):
                modules |= {
                    alias.asname
                    for alias in node.names
                    if alias.name == module and alias.asname
                }
            elif isinstance(node, ast.ImportFrom) and node.module == module:
                for alias in node.names:
                    if alias.name == "*":
                        meant |= set(names)
                    elif alias.name in names:
                        meant.add(alias.asname or alias.name)

        dotted = {f"{each}.{name}" for each in modules for name in names}
        return any(
            ast.unparse(node) in meant | dotted
            for node in self.nodes(ast.Name, ast.Attribute)
        )

    @property
    def code(self) -> str:
        """The source without comments and docstrings."""
        stripped = []
        for tree in self.modules.values():
            bare = copy.deepcopy(tree)
            for node in _documented(bare):
                node.body = node.body[1:] or [ast.Pass()]
            stripped.append(ast.unparse(bare))
        return "\n".join(stripped)

    def lines(self) -> list[Line]:
        """Every line of the source."""
        found = []
        for path, tree in self.modules.items():
            docstrings = set[int]()
            for node in _documented(tree):
                docstring = node.body[0]
                docstrings |= set(range(docstring.lineno, docstring.end_lineno + 1))

            text = path.read_text(encoding="utf-8")
            for number, line in enumerate(text.splitlines(), 1):
                is_comment = line.lstrip().startswith("#")
                found.append(
                    Line(
                        place=f"{path.name}:{number}",
                        length=len(line),
                        is_prose=is_comment or number in docstrings,
                    )
                )
        return found
