"""Reads the project's own source, for test_house.py and the README.

Rule: all is read from files and syntax trees, nothing is imported to be
looked at. The functions that take a tree and yield nodes are the rules
of the house: each yields what breaks it.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import taskmanager

PACKAGE = Path(taskmanager.__file__).parent
# The code tokens that the engine may have, and what each raise was for;
# comments and docstrings are free.
GRANTED = {
    "the engine as it was put in order": 12_000,
    "faults that users of such services report, mended": 3_100,
    "routes that cost half the time": 700,
    "progress that is pushed, and the page that shows the engine at work": 1_800,
    "what that asks of the rest: settings, counts, an Event of the progress": 400,
    "servers other than uvicorn": 400,
}
ENGINE_TOKENS = sum(GRANTED.values())
ROOT = PACKAGE.parent
SCRIPT = PACKAGE / "live" / "page.mjs"
# What stands apart: the engine imports it only where it is asked for.
APART = ["client.py", "dask_executor.py", "testing.py"]
FILES = [path for path in PACKAGE.glob("*.py") if path.name not in APART]
WEB_ONLY = [
    "events",
    "accept",
    "schemas",
    "problems",
    "routing",
    "middleware",
    "openapi",
    "stopping",
    "watch",
    "api",
]

NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}

# These are documented: os._exit, and what the underscore keeps apart
# from the fields of a named tuple.
PUBLIC_WITH_UNDERSCORE = {
    "_asdict",
    "_exit",
    "_field_defaults",
    "_fields",
    "_make",
    "_replace",
}

# What has a line in a file.
Node = ast.stmt | ast.expr | ast.excepthandler
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.Module | ast.ClassDef | Function


# Files


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def told(path: Path, node: Node) -> str:
    """Where a node stands, and its first line, for a failing test."""
    first_line, *_ = ast.unparse(node).splitlines()
    return f"{path.relative_to(ROOT)}:{node.lineno}: {first_line}"


def code_tokens(path: Path) -> int:
    """How many tokens a file has that are code.

    Comments, docstrings and blank lines are none. An f-string is one,
    as it was before Python 3.12, which sees its parts.
    """
    in_docstrings: set[int] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Definition) and ast.get_docstring(node) is not None:
            docstring, *_ = node.body
            assert docstring.end_lineno is not None
            in_docstrings |= set(range(docstring.lineno, docstring.end_lineno + 1))

    count = 0
    depth = 0
    for token in _tokens(path):
        line, _ = token.start
        is_code = token.type not in NO_CODE and line not in in_docstrings
        count += is_code and depth == 0

        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
    return count


# A token of JavaScript: a text, a template, a name, a number, or signs.
# A comment is none.
JAVASCRIPT = re.compile(
    r"""//.*|(?s:/\*.*?\*/)"""
    r"""|((["'`])(?s:\\.|(?!\2)[^\\])*\2|[\w$]+|\?\.|\?\?=?|\.{3}|[=!<>&|+*-]+|\S)"""
)


def script_tokens(text: str) -> int:
    """How many tokens a script has that are code.

    A template is one, like an f-string.
    """
    return sum(bool(token) for token, _ in JAVASCRIPT.findall(text))


def comments(path: Path) -> dict[int, str]:
    """The comments of a file, by their lines."""
    found = {}
    for token in _tokens(path):
        if token.type == tokenize.COMMENT:
            line, _ = token.start
            found[line] = token.string
    return found


def _tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    text = path.read_text(encoding="utf-8")
    return tokenize.generate_tokens(io.StringIO(text).readline)


# The package and its imports


def order() -> list[str]:
    """The engine's modules, in the order of the package's docstring."""
    assert taskmanager.__doc__ is not None
    return re.findall(r"^(\w+)  +\w", taskmanager.__doc__, re.MULTILINE)


def imported(module: str) -> set[str]:
    """The modules of this package that ``module`` imports."""
    names = set()
    for node in ast.walk(tree_of(PACKAGE / f"{module}.py")):
        if not isinstance(node, ast.ImportFrom):
            continue

        source = node.module or ""
        if source == "taskmanager":
            names |= {alias.name for alias in node.names}
        elif source.startswith("taskmanager."):
            names.add(source.removeprefix("taskmanager."))
    return names - {Path(name).stem for name in APART}


def cells(notebook: Path) -> ast.Module:
    """The code of a notebook, with its top-level awaits."""
    document = json.loads(notebook.read_text(encoding="utf-8"))
    code = [
        "".join(cell["source"])
        for cell in document["cells"]
        if cell["cell_type"] == "code"
    ]

    # Lines for IPython alone are no Python.
    text = re.sub(r"^\s*[%!].*$", "", "\n".join(code), flags=re.MULTILINE)

    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(text, str(notebook), "exec", flags)
    assert isinstance(tree, ast.Module)
    return tree


def roots_imported(tree: ast.Module) -> set[str]:
    """The first part of each module's name that is imported."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(str(node.module))
    return {module.partition(".")[0] for module in modules}


# One statement, one thought


def packed_assignments(tree: ast.Module) -> Iterator[Node]:
    """``a, b = 1, 2``, where it is neither to unpack nor to swap.

    A swap has the same expressions on both sides. A conditional
    expression between two such tuples packs as well.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                if any(_packs(target, value) for target in targets):
                    yield node


def _packs(target: ast.expr, value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        return _packs(target, value.body) or _packs(target, value.orelse)
    if not isinstance(target, ast.Tuple | ast.List):
        return False
    if not isinstance(value, ast.Tuple | ast.List):
        return False

    names = sorted(ast.unparse(element) for element in target.elts)
    values = sorted(ast.unparse(element) for element in value.elts)
    return names != values


def chained_assignments(tree: ast.Module) -> Iterator[Node]:
    """``a = b = 1``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) > 1:
            yield node


def walrus_in_calls(tree: ast.Module) -> Iterator[Node]:
    """``f(a := 1)``, however deep in the arguments of a call."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue

        named = [keyword.value for keyword in node.keywords]
        for argument in [*node.args, *named]:
            inside = ast.walk(argument)
            if any(isinstance(part, ast.NamedExpr) for part in inside):
                yield node


def nested_conditionals(tree: ast.Module) -> Iterator[Node]:
    """``f(a if b else c)``, a conditional expression within another.

    It may be all that is assigned, returned, or the body of a lambda,
    and nothing else.
    """
    whole = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.Lambda
    for parent in ast.walk(tree):
        if isinstance(parent, whole):
            continue

        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.IfExp):
                yield child


# Names instead of positions


def positions(tree: ast.Module) -> Iterator[Node]:
    """``entry.place[1]`` and ``entries[0][1]``.

    That is a number, not negative, as the index of an attribute, or a
    number as the index of an item. What has a place in a record has a
    name; the last of an attribute, ``[-1]``, is no place in a record.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=ast.Subscript(), slice=index):
                if _is_number(index):
                    yield node
            case ast.Subscript(value=ast.Attribute(), slice=ast.Constant() as index):
                if _is_number(index):
                    yield node


def _is_number(index: ast.expr) -> bool:
    match index:
        case ast.Constant(value=int()):
            return True
        case ast.UnaryOp(operand=ast.Constant(value=int())):
            return True
    return False


def named_tuples(trees: Iterable[ast.Module]) -> set[str]:
    """The classes that derive from NamedTuple, and what returns them.

    A function counts by the name in its annotation.
    """
    nodes = [node for tree in trees for node in ast.walk(tree)]

    classes = set()
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            bases = {_last_name(base) for base in node.bases}
            if "NamedTuple" in bases:
                classes.add(node.name)

    functions = set()
    for node in nodes:
        if isinstance(node, Function) and _names(node.returns, classes):
            functions.add(node.name)

    return classes | functions


def positions_in_named_tuples(tree: ast.Module, makers: set[str]) -> Iterator[Node]:
    """``decision[1:]`` and ``decision[1]``, of a NamedTuple.

    It is one by what it was assigned from or annotated with: a variable
    in the same function, an attribute anywhere in the module.
    """
    attributes = _attributes(tree, makers)
    for function in ast.walk(tree):
        if not isinstance(function, Function):
            continue

        variables = _variables(function, makers)
        for node in ast.walk(function):
            if not isinstance(node, ast.Subscript) or not _is_position(node.slice):
                continue

            match _awaited(node.value):
                case ast.Name(id=name) if name in variables:
                    yield node
                case ast.Attribute(attr=name) if name in attributes:
                    yield node
                case value if _makes(value, makers):
                    yield node


def _is_position(index: ast.expr) -> bool:
    return isinstance(index, ast.Slice) or _is_number(index)


def _attributes(tree: ast.Module, makers: set[str]) -> set[str]:
    """The attributes in a module that are named tuples."""
    found = set()
    for target in _made(tree, makers):
        if isinstance(target, ast.Attribute):
            found.add(target.attr)

    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    found |= _variables(field, makers)
    return found


def _variables(scope: ast.AST, makers: set[str]) -> set[str]:
    """The variables and arguments of a scope that are named tuples."""
    found = set()
    for target in _made(scope, makers):
        if isinstance(target, ast.Name):
            found.add(target.id)

    for node in ast.walk(scope):
        if isinstance(node, ast.arg) and _names(node.annotation, makers):
            found.add(node.arg)
    return found


def _made(scope: ast.AST, makers: set[str]) -> Iterator[ast.expr]:
    """What is assigned from a maker, or annotated with one."""
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=targets, value=value) if _makes(value, makers):
                yield from targets
            case ast.NamedExpr(target=target, value=value) if _makes(value, makers):
                yield target
            case ast.AnnAssign(target=target, annotation=named) if _names(
                named, makers
            ):
                yield target


def _makes(value: ast.expr, makers: set[str]) -> bool:
    value = _awaited(value)
    return isinstance(value, ast.Call) and _last_name(value.func) in makers


def _awaited(value: ast.expr) -> ast.expr:
    return value.value if isinstance(value, ast.Await) else value


def _last_name(node: ast.expr) -> str | None:
    """``b`` of ``a.b``, and of ``b``."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


def _names(annotation: ast.expr | None, classes: set[str]) -> bool:
    """Whether an annotation is one of the classes, or None as well."""
    if annotation is None:
        return False

    text = ast.unparse(annotation).strip("'\"")
    for part in text.split("|"):
        _, _, name = part.strip().rpartition(".")
        if name in classes:
            return True
    return False


# Privacy


def private_names_of_others(tree: ast.Module) -> Iterator[Node]:
    """A private name of another module, of this project or any other.

    A name is private that begins with one underscore. It is another
    module's where it is imported (``from m import _x``, ``import m._x``
    and ``from m._x import y``), or where it is an attribute, also by
    ``getattr`` and the like, of anything but ``self``, ``cls`` and
    ``super()``, unless this very module defines it: as a variable, a
    function, a class or an attribute of its own ``self``. So a class
    may look into another instance of itself, and a subclass into its
    base, but nobody into a module.
    """
    own = _defined(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr | ast.stmt):
            attributes = _attributes_of_others(node) - own
            names = _parts_imported(node) | attributes
            if any(map(_is_private, names)):
                yield node


def _is_private(name: str) -> bool:
    """Whether it begins with one underscore, and is not just that."""
    if name in PUBLIC_WITH_UNDERSCORE:
        return False
    return re.match(r"_[^_]", name) is not None


def _parts_imported(node: ast.AST) -> set[str]:
    """Each part of the names that an import has."""
    names: list[str] = []
    match node:
        case ast.Import(names=aliases):
            names = [alias.name for alias in aliases]
        case ast.ImportFrom(module=module, names=aliases):
            names = [module or "", *(alias.name for alias in aliases)]
    return {part for name in names for part in name.split(".")}


def _attributes_of_others(node: ast.AST) -> set[str]:
    """The attribute that is looked up in anything but ``self``."""
    match node:
        case ast.Attribute(value=of, attr=name) if not _is_own(of):
            return {name}
        case ast.Call(
            func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
            args=[of, ast.Constant(value=str(name)), *_],
        ) if not _is_own(of):
            return {name}
    return set()


def _is_own(value: ast.expr) -> bool:
    """Whether it is ``self``, ``cls`` or ``super()``."""
    match value:
        case ast.Name(id="self" | "cls"):
            return True
        case ast.Call(func=ast.Name(id="super")):
            return True
    return False


def _defined(tree: ast.Module) -> set[str]:
    """The names that a module defines, also as attributes of self."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=of, attr=name, ctx=ast.Store()) if _is_own(of):
                names.add(name)
    return names


# Cancellation


def swallowed_cancellations(tree: ast.Module) -> Iterator[Node]:
    """Where CancelledError may come to its end.

    That is an ``except`` that catches it, by its name, as BaseException
    or as anything, and whose last statement is not a bare ``raise``;
    and ``contextlib.suppress`` of it.
    """
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(body=[*_, ast.Raise(exc=None)]):
                pass
            case ast.ExceptHandler(type=caught):
                if _catches_cancellation(caught):
                    yield node
            case ast.Call(func=function, args=arguments):
                suppresses = _last_name(function) == "suppress"
                if suppresses and any(map(_catches_cancellation, arguments)):
                    yield node


def _catches_cancellation(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Tuple(elts=several):
            return any(map(_catches_cancellation, several))
    return _last_name(caught) in ("CancelledError", "BaseException")
