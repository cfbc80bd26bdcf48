// node compile.mjs PYODIDE IN OUT: compile the modules of a zip.
// The Python of that Pyodide does it: no other writes the same bytecode.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, source, compiled] = process.argv.slice(2);
const pyodide = path.resolve(folder);
const { loadPyodide } = await import(pathToFileURL(`${pyodide}/pyodide.mjs`));
// Without columns, which only a traceback would show, it is smaller.
const env = { PYTHONNODEBUGRANGES: "1" };
const py = await loadPyodide({ indexURL: `${pyodide}/`, env });
py.FS.writeFile("/in.zip", fs.readFileSync(source));
py.runPython(`
import ast
import importlib.util
import marshal
import zipfile

# Its source is not looked at: it is not there.
HEAD = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8)


def tree_of(text, name):
    """Its syntax, without what help() would show.

    That of asyncio is kept: a learner may ask for it.
    """
    tree = ast.parse(text, name)
    if "/asyncio/" not in name:
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and is_text(body[0]):
                # What is left may be nothing, or begin with __future__.
                body[0:1] = [] if body[1:] else [ast.Pass(lineno=1, col_offset=0)]
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Doc":
                # What FastAPI says of a parameter.
                node.args = [ast.copy_location(ast.Constant(""), node)]
    return tree


def is_text(node):
    value = getattr(node, "value", None)
    is_expression = isinstance(node, ast.Expr)
    return is_expression and isinstance(getattr(value, "value", None), str)


with zipfile.ZipFile("/in.zip") as sources, zipfile.ZipFile("/out.zip", "w") as out:
    for info in sources.infolist():
        try:
            tree = tree_of(sources.read(info), info.filename)
            code = compile(tree, info.filename, "exec", dont_inherit=True)
        except SyntaxError:
            # A template, or a test of what is no Python.
            continue
        info.compress_type = zipfile.ZIP_STORED
        out.writestr(info, HEAD + marshal.dumps(code))
`);
fs.writeFileSync(compiled, py.FS.readFile("/out.zip"));
