"""Submissions: what is to be graded, and where its application is.

Rule: whatever is wrong with one submission is said of it, and stops no
other.
"""

import ast
import csv
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.conformance import archive
from tests.conformance.solution import Solution, SolutionError

# In which a submission says what it calls things.
NAMES_FILE = "solution.toml"
# A folder with one of these is a submission, and no class.
MARKS = (
    "*.py",
    "README*",
    "requirements*.txt",
    "pyproject.toml",
    NAMES_FILE,
)
# What is written for all together, beside the folders of each.
OF_ALL = ("table.csv", "table.json", "table.html")
# Columns of a CSV, by what they may be called.
COLUMNS = {
    "path": (
        "path",
        "folder",
        "zip",
        "submission",
        "repository",
    ),
    "name": (
        "name",
        "student",
        "student_name",
        "username",
        "login",
    ),
    "app": ("app",),
}
# Where applications are looked for first.
LIKELY = (
    "main",
    "app",
    "server",
    "api",
    "__init__",
)
NO_APPLICATION = (
    "no FastAPI application was found in it: "
    f'a {NAMES_FILE} with app = "module:name" can name one'
)


class SubmissionError(Exception):
    """It cannot be graded; the message says why."""


class ClassError(ValueError):
    """What names the submissions cannot be read."""


@dataclasses.dataclass(frozen=True)
class Submission:
    """One row of the table to come."""

    name: str
    # A folder, or a zip.
    path: Path
    # MODULE:NAME, where the teacher says so.
    app: str = ""


# Which there are


def submissions(paths: Iterable[Path], app: str = "") -> list[Submission]:
    """All that these folders, zips and CSV files name, each once.

    Raises ClassError.
    """
    found: list[Submission] = []
    for path in paths:
        if path.suffix.lower() == ".csv" and path.is_file():
            found += _listed_in(path)
        elif path.is_dir() or path.suffix.lower() == ".zip":
            found += [Submission(_name_of(each), each) for each in _inside(path)]
        else:
            raise ClassError(f"{path} is no folder, zip or CSV file")

    if not found:
        raise ClassError("there is no submission in what is named")
    with_app = [dataclasses.replace(each, app=each.app or app) for each in _once(found)]
    return list(_with_names_apart(with_app))


def _name_of(path: Path) -> str:
    return path.stem if path.suffix.lower() == ".zip" else path.name


def _inside(path: Path) -> list[Path]:
    """A submission itself, or those in a folder of them."""
    if not path.is_dir() or any(any(path.glob(mark)) for mark in MARKS):
        return [path.resolve()]

    inside = [
        each
        for each in sorted(path.iterdir())
        if each.is_dir() or each.suffix.lower() == ".zip"
    ]
    visible = [
        each
        for each in inside
        if not each.name.startswith((".", "__"))
        and each.name not in archive.LEFT_OUT
        # It is what an earlier run wrote.
        and not (each / "table.json").exists()
    ]
    if not visible or any(
        each.is_dir() and archive.holds_source(each) for each in visible
    ):
        return [path.resolve()]
    return [each.resolve() for each in visible]


def _listed_in(path: Path) -> list[Submission]:
    """Those of a CSV file: paths, names, or both, and applications.

    Paths are relative to the file, and so are names in place of one.
    Raises ClassError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClassError(f"{path}: {error}") from None

    first, _, _ = text.partition("\n")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = [
        row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)
    ]
    if not rows:
        raise ClassError(f"{path} is empty")

    headings = [cell.strip().lower().replace(" ", "_") for cell in rows[0]]
    columns = {
        field: headings.index(heading)
        for field, known in COLUMNS.items()
        for heading in known
        if heading in headings
    }
    if columns:
        rows = rows[1:]
    else:
        columns = {"path": 0, "name": 1}
    return [_of_row(row, columns, path.parent) for row in rows]


def _of_row(row: list[str], columns: dict[str, int], folder: Path) -> Submission:
    cells = {
        field: row[place].strip()
        for field, place in columns.items()
        if place < len(row)
    }
    place = cells.get("path") or cells.get("name") or "?"
    path = (folder / place).resolve()
    if not path.exists() and (folder / f"{place}.zip").exists():
        path = (folder / f"{place}.zip").resolve()
    return Submission(cells.get("name") or _name_of(path), path, cells.get("app", ""))


def _once(found: list[Submission]) -> Iterator[Submission]:
    seen: set[tuple[Path, str]] = set()
    for each in found:
        if (each.path, each.app) not in seen:
            seen.add((each.path, each.app))
            yield each


def _with_names_apart(found: list[Submission]) -> Iterator[Submission]:
    """Names become names of folders, so that each is another one."""
    taken = set(OF_ALL)
    for each in found:
        base = each.name
        number = 1
        name = base
        while slug(name) in taken:
            number += 1
            name = f"{base} ({number})"
        taken.add(slug(name))
        yield dataclasses.replace(each, name=name)


def slug(name: str) -> str:
    """The name as one of a folder, on any system."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.").lower()
    return plain[:80] or "submission"


# Its application


def solution_in(folder: Path, app: str = "") -> Solution:
    """What its own file says, or what is found in its source.

    Raises SubmissionError.
    """
    file = folder / NAMES_FILE
    chosen = {"app": app} if app else {}
    try:
        if file.is_file():
            solution = Solution.read(file, **chosen).without_own_answers()
        else:
            solution = Solution.read(None, app_dir=str(folder), **chosen)
    except SolutionError as error:
        raise SubmissionError(str(error).replace(f"{folder}/", "")) from None

    if not solution.folder.is_relative_to(folder.resolve()):
        raise SubmissionError(f"{NAMES_FILE}: app_dir leads out of the submission")
    if app or (file.is_file() and not solution.is_default("app")):
        return solution

    name, place = application_in(folder)
    return dataclasses.replace(solution, app=name, app_dir=str(place))


def application_in(folder: Path) -> tuple[str, Path]:
    """MODULE:NAME of its application, and the folder to import it from.

    Raises SubmissionError.
    """
    paths = [
        path
        for path in archive.files_in(folder)
        if path.suffix == ".py" and not _is_test(path.relative_to(folder))
    ]
    if not paths:
        raise SubmissionError("there is no Python file in it")

    paths.sort(key=lambda path: _likelihood(path, folder))
    for path in paths:
        name = _application_of(path)
        if name:
            module, place = _importable(path, folder)
            return f"{module}:{name}", place

    # It may not be readable: then its import says why.
    for path in paths:
        if path.stem in ("main", "app"):
            return f"{path.stem}:app", path.parent
    raise SubmissionError(NO_APPLICATION)


def _is_test(path: Path) -> bool:
    is_named_so = path.stem.startswith("test_") or path.stem.endswith("_test")
    in_tests = {"test", "tests"}.intersection(path.parent.parts)
    return is_named_so or bool(in_tests) or path.stem == "conftest"


def _likelihood(path: Path, folder: Path) -> tuple[int, int, str]:
    """Its place in the search; the first are the likeliest."""
    depth = len(path.relative_to(folder).parts)
    place = LIKELY.index(path.stem) if path.stem in LIKELY else len(LIKELY)
    return depth + 3 * (place == len(LIKELY)), place, str(path)


def _application_of(path: Path) -> str:
    """The name of a module's application; empty if it has none."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return ""

    factories = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and _makes_an_application(node)
    }
    made = _assigned(tree, {"FastAPI"} | factories)
    if path.stem in LIKELY and "app" in _bound_in(tree):
        return "app"
    for name in (*made, *sorted(factories)):
        return name
    return ""


def _bound_in(tree: ast.Module) -> set[str]:
    """The names that a module binds, by whatever statement."""
    found = set[str]()
    for node in tree.body:
        match node:
            case ast.Assign(targets=targets):
                found |= {each.id for each in targets if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name for alias in names}
    return found


def _makes_an_application(function: ast.FunctionDef) -> bool:
    if function.returns is not None and "FastAPI" in ast.unparse(function.returns):
        return True
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(_called(call) == "FastAPI" for call in calls) and any(
        isinstance(node, ast.Return) and node.value for node in ast.walk(function)
    )


def _assigned(tree: ast.Module, makers: set[str]) -> list[str]:
    """The names that are given what one of these makes."""
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call):
                pass
            case _:
                continue
        if _called(call) in makers and node.col_offset == 0:
            found.append(name)
    return found


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _importable(path: Path, folder: Path) -> tuple[str, Path]:
    """The module's name, and the folder from which it is imported.

    That is the first above it that is no package, or that of the
    submission where the module imports by names that begin there.
    """
    place = path.parent
    while place != folder and (place / "__init__.py").exists():
        place = place.parent
    if place != folder and _imports_from_above(path, place, folder):
        place = folder

    parts = list(path.relative_to(place).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts), place


def _imports_from_above(path: Path, place: Path, folder: Path) -> bool:
    """Whether it imports by the name of its folder, or relatively."""
    outermost, *_ = path.relative_to(folder).parts
    is_package = (path.parent / "__init__.py").exists()
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.ImportFrom(level=level) if level:
                if not is_package:
                    return True
            case ast.ImportFrom(module=str(module)):
                if module.partition(".")[0] == outermost:
                    return True
            case ast.Import(names=names):
                if any(alias.name.partition(".")[0] == outermost for alias in names):
                    return True
    return False
