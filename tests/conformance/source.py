"""Source: the files of a solution, for what cannot be seen from
outside.

Rule: it reads the modules that the solution's own folder holds and its
app imports, and nothing that is installed.
"""

import ast
from pathlib import Path

from tests.conformance.api import NotGradedError
from tests.conformance.solution import Solution

# folders that hold a project's source, and not its README
SOURCES = ("src", "app", "api", "backend")


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise NotGradedError(f"this Python cannot read {path.name}: {error}") from None


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

    def _add(self, name: str, level: int = 0, package: str = "") -> None:
        if level:
            parents = package.split(".")
            name = ".".join(
                [*parents[: len(parents) - level + 1], *([name] if name else [])]
            )
        parts = name.split(".")
        for length in range(1, len(parts) + 1):  # a package's __init__ comes along
            base = self.folder.joinpath(*parts[:length])
            for path, is_package in (
                (base.with_suffix(".py"), False),
                (base / "__init__.py", True),
            ):
                if path.is_file() and path not in self.modules:
                    self.modules[path] = tree = _parsed(path)
                    module = ".".join(parts[:length])
                    self._follow(
                        tree, module if is_package else module.rpartition(".")[0]
                    )

    def _follow(self, tree: ast.Module, package: str) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._add(alias.name)
            elif isinstance(node, ast.ImportFrom):
                self._add(node.module or "", node.level, package)
                for alias in node.names:  # "from package import module"
                    self._add(
                        f"{node.module}.{alias.name}" if node.module else alias.name,
                        node.level,
                        package,
                    )

    @property
    def project(self) -> list[Path]:
        """Where its README and tests may be."""
        return (
            [self.folder, self.folder.parent]
            if self.folder.name in SOURCES
            else [self.folder]
        )

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
        """Whether one of these names of a module of the standard
        library is used, however it was imported.
        """
        modules, meant = {module}, set[str]()
        for node in self.nodes(ast.Import, ast.ImportFrom):
            for alias in getattr(node, "names", []):
                if (
                    isinstance(node, ast.Import)
                    and alias.name == module
                    and alias.asname
                ):
                    modules.add(alias.asname)
                if (
                    isinstance(node, ast.ImportFrom)
                    and node.module == module
                    and alias.name in (*names, "*")
                ):
                    meant |= (
                        set(names)
                        if alias.name == "*"
                        else {alias.asname or alias.name}
                    )
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
            for node in ast.walk(tree):
                if (
                    isinstance(
                        node,
                        ast.Module
                        | ast.ClassDef
                        | ast.FunctionDef
                        | ast.AsyncFunctionDef,
                    )
                    and node.body
                ):
                    first = node.body[0]
                    if isinstance(first, ast.Expr) and isinstance(
                        first.value, ast.Constant
                    ):
                        node.body = node.body[1:] or [ast.Pass()]
            stripped.append(ast.unparse(tree))
        return "\n".join(stripped)
