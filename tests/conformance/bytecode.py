"""Bytecode: a solution's modules are compiled once for all processes.

Each process imports the solution afresh. What it compiles is kept in a
folder of the grading, so that nothing is written into the solution's
own, and no bytecode that lies there is believed.
"""

import hashlib
import py_compile
import sys
import types
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from typing import Any

from tests.conformance.solution import Solution


def keep_bytecode(folder: Path, solution: Solution) -> None:
    """Let this process import the solution by way of ``folder``."""

    class Loader(SourceFileLoader):
        def get_code(self, fullname: str) -> types.CodeType | None:
            path = self.get_filename(fullname)
            source = self.get_data(path)
            key = hashlib.sha256(path.encode() + b"\0" + source).hexdigest()
            kept = folder / f"{key}.pyc"
            try:
                if not kept.exists():
                    compile_once(path, kept)
                return SourcelessFileLoader(fullname, str(kept)).get_code(fullname)
            except (OSError, ImportError, EOFError, py_compile.PyCompileError):
                # As Python does it, in its own words.
                return super().get_code(fullname)

    def compile_once(path: str, kept: Path) -> None:
        """Others may be reading it: it comes to be in one step."""
        py_compile.compile(
            path,
            cfile=str(kept),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )

    find: Any = FileFinder.path_hook(
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (Loader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )

    def find_below_the_solution(path: str) -> Any:
        below = Path(path or ".").resolve()
        is_its_own = below.is_relative_to(solution.folder)
        if not is_its_own or "site-packages" in below.parts:
            raise ImportError("this is not of the solution", path=path)
        return find(path)

    sys.path_hooks.insert(0, find_below_the_solution)
    sys.path_importer_cache.clear()
