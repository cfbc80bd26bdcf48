"""``python -m notebooks.site OUT``: the course as a folder of files.

Any server of static files shows it; the notebooks run in the browser,
in Pyodide, and ask no other host for anything. ``--serve`` serves the
folder on this machine.

Rules: whatever is in it comes from this repository, or from a package
whose version is named: the page in requirements-site.txt, what runs in
the browser in requirements-browser.txt, and Pyodide itself below. A
cell with the tag of NOT_HERE is not run there: it shows what it has
shown when the notebook was executed.
"""

import argparse
import contextlib
import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterable
from datetime import datetime, timezone
from email.parser import HeaderParser
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from notebooks import landing
from notebooks.recorded import FILE, MAGIC, NOT_HERE, key_of

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = PROJECT / "notebooks"
# Of whatever is downloaded; it may be deleted at any time.
CACHE = PROJECT / ".site"

PYODIDE = "314.0.7"
PYODIDE_FILES = [
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "pyodide-lock.json",
    "pyodide.mjs",
    "python_stdlib.zip",
]
# The Python that is in it, as pip and packaging speak of it.
PYTHON = "3.14"
PLATFORM = "pyemscripten_2026_0_wasm32"
ENVIRONMENT = {
    "extra": "",
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_system": "Emscripten",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "emscripten",
}

# What the kernel loads before it runs the first cell.
KERNEL = [
    "ipykernel",
    "comm",
    "pyodide-kernel",
    "jedi",
    "ipython",
    "micropip",
    "piplite",
]
# It asks for these as well, and the course does not need them: jedi
# completes names, the others install packages of another host.
NO_PIP = """async def get_transformed_code(argv):
    return "print('Nothing can be installed here: the course brings what it needs.')"
"""
STAND_INS: dict[str, dict[str, bytes]] = {
    "jedi": {},
    "micropip": {},
    "piplite": {
        "piplite/__init__.py": b"",
        "piplite/cli.py": NO_PIP.encode(),
        "piplite/piplite.py": b"",
    },
}
# Files that nobody needs there: what tests or documents a package, what
# needs a terminal, a socket, a process, another system or another
# library, and, of the many languages that Pygments colours and the many
# encodings, all but a few. The last lines are what the interpreter
# itself has frozen in it: it never looks for them here.
LEFT_OUT = re.compile(
    r".*\.dist-info/(RECORD|licenses/|LICENSE|sboms/)"
    r"|.*/tests/|.*\.pyi$"
    r"|IPython/(extensions|sphinxext|terminal)/(?!__init__|pt_inputhooks/__init__"
    r"|storemagic)"
    r"|IPython/(utils/_process_(win32|posix)|external/qt|testing/(?!__init__|skip))"
    r"|IPython/(core/(history|profile)app|lib/(backgroundjobs|clipboard|deepreload"
    r"|demo|latextools))"
    r"|anyio/(_backends/_trio|functools|itertools|pytest_plugin|to_interpreter"
    r"|to_process)\.py"
    r"|annotated_types/test_cases|idna/cli|pyodide/(console|_nodesock|http/pyxhr)"
    r"|click/(_termui_impl|_winconsole|shell_completion|testing)\.py"
    r"|dateutil/(rrule\.py|tz/win\.py|zoneinfo/.*\.gz)"
    r"|fastapi/\.agents/"
    r"|httpx/_main\.py"
    r"|idna/uts46data\.py"
    r"|pydantic/(mypy\.py|v1/|deprecated/decorator|experimental/pipeline)"
    r"|pygments/(cmdline|sphinxext)\.?"
    r"|pygments/formatters/(img|irc|latex|other|rtf|svg|groff|pangomarkup)"
    r"|pygments/lexers/(?!__init__|_mapping|python)"
    r"|pygments/styles/(?!__init__|_mapping|default|gruvbox|monokai|pastie)"
    r"|starlette/(config|schemas|templating|testclient)\.py"
    r"|starlette/middleware/(opentelemetry|sessions|wsgi)"
    r"|traitlets/config/(argcomplete|sphinxdoc)"
    r"|uvicorn/(protocols/(http|websockets)/(?!__init__|auto\.)|workers|.*/watchfiles)"
    r"|_pyrepl/(_module|commands|completing|fancy|hist|input|keymap|main|reader"
    r"|readline|simple|terminfo|.*console|.*eventqueue)"
    r"|asyncio/(__main__|proactor_|tools|windows_)"
    r"|concurrent/interpreters/"
    r"|ctypes/(_aix|macholib|wintypes)"
    r"|email/(_header_value_parser|contentmanager|headerregistry|mime|policy)"
    r"|(http/server|json/tool|sysconfig/__main__|urllib/robotparser)\.py"
    r"|encodings/(?!__init__|aliases|ascii|charmap|cp1252|cp437|idna|iso8859_1\."
    r"|latin_1|punycode|raw_unicode|unicode_escape|utf_)"
    r"|multiprocessing/(dummy|forkserver|heap|managers|pool|popen_|resource_sharer"
    r"|shared_memory|sharedctypes|spawn)"
    r"|(ensurepip|idlelib|pydoc_data|sqlite3|tkinter|tomllib|turtledemo|wsgiref|xml"
    r"|xmlrpc)/"
    r"|(_pydatetime|_pyio|compileall|doctest|filecmp|fileinput|ftplib|imaplib|mailbox"
    r"|modulefinder|netrc|optparse|pickletools|plistlib|poplib|pty|py_compile|pyclbr"
    r"|rlcompleter|shelve|smtplib|symtable|tabnanny|trace|turtle|wave|webbrowser"
    r"|zipapp)\.py"
    r"|(_collections_abc|_sitebuiltins|abc|codecs|genericpath|io|ntpath|os|posixpath"
    r"|runpy|site|stat|zipimport|importlib/(_bootstrap|util|machinery).*)\.py"
)
# In the place of what asks a terminal: all of IPython imports it, and
# it is the only one to need what edits a line there.
IN_PLACE = {
    "IPython/terminal/embed.py": b"def embed(**options): raise NotImplementedError\n"
}
# One that reads its own text; all others are compiled.
NEEDS_TEXT = {"anyio/__init__.py"}
COURSE = "course"  # the package that has this project in it
KERNEL_EXTENSION = "@jupyterlite/pyodide-kernel-extension"

# Whoever serves it may know fewer.
TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".ipynb": "application/json",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".whl": "application/zip",
}
SMALL_ALREADY = (".whl", ".zip", ".png", ".woff2")


class MissingError(Exception):
    """Something is needed that is not here; it says how to get it."""


# What is downloaded


def pyodide_folder(given: Path | None) -> Path:
    """Where Pyodide is: as given, or downloaded with npm.

    Raises MissingError.
    """
    folder = given or CACHE / f"pyodide-{PYODIDE}"
    if given is None and not folder.exists():
        _download_pyodide(folder)

    missing = [name for name in PYODIDE_FILES if not (folder / name).exists()]
    if missing:
        raise MissingError(
            f"{folder} has no {missing[0]}: is it the folder of Pyodide?"
        )
    return folder


def _download_pyodide(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError(
            "npm is missing, which downloads Pyodide: install Node.js "
            "(https://nodejs.org); or unpack the npm package "
            f"pyodide {PYODIDE} elsewhere, and give its folder with --pyodide."
        )

    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", "--silent", f"pyodide@{PYODIDE}"]
        _run(command, "npm could not download Pyodide", cwd=Path(scratch))
        (archive,) = Path(scratch).glob("*.tgz")
        unpacked = Path(scratch, "unpacked")
        unpacked.mkdir()
        with tarfile.open(archive) as tar:
            for name in PYODIDE_FILES:
                member = tar.extractfile(f"package/{name}")
                assert member is not None
                (unpacked / name).write_bytes(member.read())
        CACHE.mkdir(exist_ok=True)
        shutil.move(unpacked, folder)


def wheels_folder() -> Path:
    """Where the wheels of requirements-browser.txt are.

    What was downloaded for the same file is not downloaded again.
    Raises MissingError.
    """
    requirements = NOTEBOOKS / "requirements-browser.txt"
    version = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"wheels-{version}"
    if folder.exists():
        return folder

    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            f"--python-version={PYTHON}",
            "--implementation=cp",
            "--abi=cp314",
            "--abi=none",
            f"--platform={PLATFORM}",
            "--platform=any",
            f"--requirement={requirements}",
            f"--dest={scratch}/wheels",
        ]
        _run(command, "pip could not download the wheels")
        shutil.move(f"{scratch}/wheels", folder)
    return folder


def _run(command: list[str], fault: str, cwd: Path = PROJECT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise MissingError(f"{fault}:\n{done.stdout}{done.stderr}".strip())


# What is made of this repository


def course_wheel(folder: Path) -> Path:
    """This project as one wheel, with what its marked cells have shown.

    ``import lab`` finds it there as well.
    """
    recorded: dict[str, Any] = {}
    for path in lessons():
        recorded |= recorded_of(_read(path))
    files = {
        "lab.py": (NOTEBOOKS / "in_browser.py").read_bytes(),
        f"notebooks/{FILE}": json.dumps(recorded).encode(),
        f"{COURSE}-1.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {COURSE}\nVersion: 1\n"
            "Requires-Dist: fastapi\nRequires-Dist: uvicorn\n"
            "Requires-Dist: httpx\nRequires-Dist: freezegun\n"
        ).encode(),
    }
    for path in sorted(_carried()):
        files[str(path.relative_to(PROJECT))] = path.read_bytes()
    return _wheel(folder / f"{COURSE}-1-py3-none-any.whl", files)


def _carried() -> Iterable[Path]:
    yield PROJECT / "main.py"
    # A lesson reads the figures in it.
    yield PROJECT / "benchmarks/README.md"
    for package in ("taskmanager", "notebooks/checks", "notebooks/solutions"):
        for path in (PROJECT / package).rglob("*"):
            if path.is_file() and path.suffix not in {".md", ".png", ".pyc", ".txt"}:
                yield path
    for path in NOTEBOOKS.glob("*.py"):
        # These make the notebooks, and the site.
        if path.name not in {"refresh.py", "site.py"}:
            yield path


def stand_in(folder: Path, name: str) -> Path:
    """A wheel in the place of a package that is not needed."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n".encode()
    files = {f"{name}-0.dist-info/METADATA": metadata} | STAND_INS[name]
    return _wheel(folder / f"{name}-0-py3-none-any.whl", files)


def needed_of(archive: Path) -> dict[str, bytes]:
    """The files in an archive, without those that are left out."""
    with zipfile.ZipFile(archive) as packed:
        names = [each for each in packed.namelist() if not each.endswith("/")]
        kept = {name: packed.read(name) for name in names if not LEFT_OUT.match(name)}
    for name in kept:
        if name.endswith(".dist-info/METADATA"):
            # Below its headers is a page about the package.
            kept[name], _, _ = kept[name].replace(b"\r", b"").partition(b"\n\n")
    replaced = {name: IN_PLACE[name] for name in names if name in IN_PLACE}
    return kept | replaced


def _wheel(path: Path, files: dict[str, bytes]) -> Path:
    """A wheel that is the same file whenever its files are the same."""
    with zipfile.ZipFile(path, "w", compresslevel=9) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def lessons() -> list[Path]:
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _marked(cell: Any) -> bool:
    return NOT_HERE in cell["metadata"].get("tags", [])


def recorded_of(notebook: Any) -> dict[str, Any]:
    """What its cells have shown, if a browser does not run them all."""
    if not any(_marked(cell) for cell in notebook["cells"]):
        return {}
    return {
        key_of("".join(cell["source"])): cell["outputs"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    }


def for_the_site(notebook: Any) -> Any:
    """The notebook as the site shows it.

    Its outputs are trusted: else its pictures would be hidden. A marked
    cell starts with the line that shows what was recorded.
    """
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        if _marked(cell):
            cell["source"] = [f"{MAGIC}\n", *cell["source"]]
        cell["metadata"] = {**cell["metadata"], "trusted": True}
    return notebook


def linked_files() -> set[Path]:
    """The files of the project to which the lessons link.

    Those beside the lessons are left out: Python would import them from
    there, and not from the wheel.
    """
    found = set()
    for path in (PROJECT / "taskmanager").glob("*"):
        if path.suffix in {".py", ".md"}:
            found.add(path)
    return found


# The folder


def lock(base: Any, wheels: Iterable[Path]) -> dict[str, Any]:
    """A pyodide-lock.json that names these wheels and no others.

    ``base`` is that of Pyodide, of which the description of its
    interpreter is taken. Raises MissingError where one needs another
    that is not there.
    """
    packages = {}
    needs = {}
    for wheel in wheels:
        name, entry, needed = _locked(wheel)
        packages[name] = entry
        needs[name] = needed

    for name, needed in needs.items():
        # These complete names, edit lines, call a shell, know time
        # zones, and draw; and those of the second line need a socket.
        left_out = {"parso", "pexpect", "prompt-toolkit", "tzdata", "matplotlib-inline"}
        left_out |= {"certifi", "h11", "httpcore"}
        absent = needed - set(packages) - left_out
        if absent:
            raise MissingError(
                f"{name} needs {', '.join(sorted(absent))}: add it to "
                "notebooks/requirements-browser.txt."
            )
        packages[name]["depends"] = sorted(needed & set(packages))
    return {**base, "packages": packages}


def _locked(wheel: Path) -> tuple[str, dict[str, Any], set[str]]:
    """A wheel's name, its entry in a lock, and the names it needs."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        (told,) = [name for name in files if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(told).decode())

    modules = set()
    for file in files:
        top = file.partition("/")[0]
        if file.endswith((".py", ".pyc", ".so")) and not top.endswith("-info"):
            modules.add(top.partition(".")[0])

    needed = set()
    for text in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(ENVIRONMENT):
            needed.add(str(canonicalize_name(requirement.name)))

    name = str(canonicalize_name(metadata["Name"]))
    entry = {
        "name": name,
        "version": metadata["Version"],
        "file_name": wheel.name,
        "install_dir": "site",
        "package_type": "package",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "imports": sorted(modules),
        "depends": [],
        "unvendored_tests": False,
    }
    return name, entry, needed


def _kernel_wheels() -> list[Path]:
    """The kernel's own packages, as its extension brings them."""
    extension = Path(sys.prefix, "share/jupyter/labextensions", KERNEL_EXTENSION)
    wheels = sorted(extension.glob("static/pypi/*.whl"))
    needless = {"widgetsnbextension", *STAND_INS}
    return [each for each in wheels if each.name.partition("-")[0] not in needless]


def configuration() -> dict[str, Any]:
    """What JupyterLite is told, in its jupyter-lite.json."""
    kernel = {
        "pyodideUrl": "./static/pyodide/pyodide.mjs",
        "disablePyPIFallback": True,
        "loadPyodideOptions": {
            "lockFileURL": "./static/pyodide/pyodide-lock.json",
            "packages": [*KERNEL, COURSE],
        },
    }
    return {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "A task manager, explained",
            "defaultKernelName": "python",
            # It would keep what it has, and never look for a newer one.
            "disabledExtensions": [
                "@jupyterlite/apputils-extension:service-worker-manager",
                "@jupyterlite/application-extension:service-worker-manager",
            ],
            "exposeAppInBrowser": True,
            "litePluginSettings": {f"{KERNEL_EXTENSION}:kernel": kernel},
        },
    }


def build(out: Path, pyodide: Path | None = None) -> None:
    """Write the site to ``out``, which is replaced.

    Raises MissingError.
    """
    needed = ["jupyterlite_core", "jupyterlite_pyodide_kernel", "packaging"]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"{missing[0]} is missing: pip install -r notebooks/requirements-site.txt"
        )
    if out.exists() and not (out / "jupyter-lite.json").exists() and any(out.iterdir()):
        raise MissingError(f"{out} has other files in it: name a new folder.")

    begun = time.perf_counter()

    def say(step: str) -> None:
        print(f"{time.perf_counter() - begun:5.1f} s  {step}", flush=True)

    say(f"Pyodide {PYODIDE}")
    interpreter = pyodide_folder(pyodide)
    say("wheels for the browser")
    wheels = wheels_folder()

    with tempfile.TemporaryDirectory() as scratch:
        say("the notebooks and the project")
        source = Path(scratch)
        _write_contents(source / "files")
        settings = source / "jupyter-lite.json"
        settings.write_text(json.dumps(configuration()), encoding="utf-8")

        say("JupyterLite")
        site = source / "site"
        command = [
            sys.executable,
            "-m",
            "jupyterlite_core",
            "build",
            f"--lite-dir={source}",
            f"--output-dir={site}",
            f"--contents={source / 'files'}",
            "--apps=notebooks",
            "--no-sourcemaps",
            "--no-unused-shared-packages",
            "--no-libarchive",
        ]
        _run(command, "JupyterLite could not be built", cwd=source)

        say("the interpreter and its packages")
        _write_interpreter(site / "static/pyodide", interpreter, wheels)
        _write_landing(site)
        if out.exists():
            shutil.rmtree(out)
        shutil.move(site, out)
    say(f"done: {out}")


def _write_contents(folder: Path) -> None:
    for path in lessons():
        copy = folder / "notebooks" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(for_the_site(_read(path)))
        copy.write_text(text, encoding="utf-8")

    for path in linked_files():
        copy = folder / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _write_interpreter(folder: Path, pyodide: Path, wheels: Path) -> None:
    folder.mkdir(parents=True)
    for name in PYODIDE_FILES:
        shutil.copyfile(pyodide / name, folder / name)
    library = pyodide / "python_stdlib.zip"
    archives = {
        each.name: needed_of(each)
        for each in [library, *wheels.glob("*.whl"), *_kernel_wheels()]
    }
    compiled = compiled_modules(archives, pyodide)
    for name, files in archives.items():
        _wheel(folder / name, with_bytecode(name, files, compiled))
    course_wheel(folder)
    for name in STAND_INS:
        stand_in(folder, name)

    base = _read(pyodide / "pyodide-lock.json")
    locked = lock(base, sorted(folder.glob("*.whl")))
    text = json.dumps(locked, indent=1)
    (folder / "pyodide-lock.json").write_text(text, encoding="utf-8")


def compiled_modules(archives: dict[str, dict[str, bytes]], pyodide: Path) -> Path:
    """A zip of these archives' modules, compiled.

    To compile them takes a browser half of the seconds in which the
    first cell answers. Raises MissingError.
    """
    modules = {
        _installed(archive, name): content
        for archive, files in archives.items()
        for name, content in files.items()
        if name.endswith(".py") and name not in NEEDS_TEXT
    }
    with tempfile.TemporaryDirectory() as scratch:
        source = _wheel(Path(scratch, "in.zip"), modules)
        version = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        compiled = CACHE / f"compiled-{version}.zip"
        if compiled.exists():
            return compiled

        node = shutil.which("node")
        if node is None:
            raise MissingError(
                "node is missing, which compiles the packages: install Node.js "
                "(https://nodejs.org)."
            )
        script = NOTEBOOKS / "compile.mjs"
        out = Path(scratch, "out.zip")
        command = [node, *map(os.fspath, (script, pyodide, source, out))]
        _run(command, "Pyodide could not compile the packages")
        CACHE.mkdir(exist_ok=True)
        shutil.move(out, compiled)
    return compiled


def _installed(archive: str, name: str) -> str:
    """The path of a module in the browser, without its first slash."""
    version = PYTHON.replace(".", "")
    if archive.endswith(".whl"):
        return f"lib/python{PYTHON}/site-packages/{name}"
    return f"lib/python{version}.zip/{name}"


def with_bytecode(
    archive: str, files: dict[str, bytes], compiled: Path
) -> dict[str, bytes]:
    """These files, with bytecode in the place of the modules' text."""
    with zipfile.ZipFile(compiled) as packed:
        modules = set(packed.namelist())
        found = {}
        for name, content in files.items():
            path = _installed(archive, name)
            if path in modules:
                found[f"{name}c"] = packed.read(path)
            else:
                found[name] = content
    return found


def _write_landing(site: Path) -> None:
    """Put the page before the lessons, with what this is made from."""
    command = ["git", "log", "-1", "--format=%h %cs"]
    try:
        said = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        # The project was copied, or there is no git.
        said = f"unknown {datetime.now(timezone.utc):%Y-%m-%d}"

    commit, date = said.split()
    landing.write(site, commit=commit, date=date, source=os.environ.get("SOURCE", ""))


# Serving it


class Handler(http.server.SimpleHTTPRequestHandler):
    """Static files with their types, compressed for who accepts it."""

    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | TYPES
    protocol_version = "HTTP/1.1"
    compressed: ClassVar[dict[Path, bytes]] = {}

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        # Who left does not want it.
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        accepts = "gzip" in self.headers.get("Accept-Encoding", "")
        plain = path.suffix in SMALL_ALREADY or not path.is_file()
        # Whoever has it is told to keep it.
        asks_again = "If-Modified-Since" in self.headers
        if plain or asks_again or not accepts:
            super().do_GET()
            return

        if path not in self.compressed:
            self.compressed[path] = gzip.compress(path.read_bytes())
        content = self.compressed[path]
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Vary", "Accept-Encoding")
        changed = self.date_time_string(path.stat().st_mtime)
        self.send_header("Last-Modified", changed)
        self.end_headers()
        self.wfile.write(content)


def server_of(folder: Path, port: int = 0) -> http.server.ThreadingHTTPServer:
    """A server of ``folder`` on loopback; ``port`` 0 is a free one."""
    handler = partial(Handler, directory=os.fspath(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.site",
        description="Write the course as a folder of static files.",
        epilog="SOURCE in the environment is the address of the repository, to which "
        "the first page leads.",
    )
    parser.add_argument("out", type=Path, help="the folder; it is replaced")
    parser.add_argument(
        "--pyodide", type=Path, metavar="FOLDER", help=f"Pyodide {PYODIDE}, unpacked"
    )
    parser.add_argument(
        "--serve", action="store_true", help="then serve it on this machine"
    )
    parser.add_argument("--port", type=int, default=8080, help="of --serve")
    arguments = parser.parse_args()

    try:
        build(arguments.out, arguments.pyodide)
    except MissingError as error:
        sys.exit(f"notebooks.site: {error}")
    if arguments.serve:
        with server_of(arguments.out, arguments.port) as server:
            print(f"http://127.0.0.1:{server.server_port}/ until Ctrl+C", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()


if __name__ == "__main__":
    main()
