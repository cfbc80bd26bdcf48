"""Archive: takes a submission in, as a copy of its own.

Rules: nothing is written outside of the folder given, whatever a zip
says. Files are bounded in number and size, by what comes out and not by
what the zip declares. A zip with a link is refused, and a link in a
folder is left out: it may lead to what is none of the submission's.
"""

import hashlib
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tests.conformance.source import SOURCES

MOST_FILES = 5_000
MOST_BYTES = 100 * 1024 * 1024
MOST_DEPTH = 30  # folders
CHUNK = 64 * 1024
# What reading a broken zip, or one of an odd kind, raises.
UNREADABLE = (
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
# What is installed or made, and no work of the author's.
LEFT_OUT = {
    ".git",
    ".hg",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    "__MACOSX",
    "__pycache__",
    "node_modules",
    "site-packages",
    "venv",
}


class ArchiveError(Exception):
    """It cannot be taken in; the message says why."""


class Room:
    """How much more may be taken in."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def add_file(self) -> None:
        self._files += 1
        if self._files > MOST_FILES:
            raise ArchiveError(f"it has more than {MOST_FILES:,} files")

    def add_bytes(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MOST_BYTES:
            megabytes = MOST_BYTES // 1024**2
            raise ArchiveError(f"its files have more than {megabytes} MB together")


# A zip


def unpack(archive: Path, to: Path) -> None:
    """Unpack a zip into a new folder.

    Raises ArchiveError.
    """
    to.mkdir(parents=True)
    try:
        Room().add_bytes(archive.stat().st_size)
        with zipfile.ZipFile(archive) as opened:
            _unpack_all(opened, to)
    except OSError as error:
        raise ArchiveError(f"the zip cannot be unpacked: {error.strerror}") from None
    except UNREADABLE as error:
        raise ArchiveError(f"the zip cannot be read: {error}") from None


def _unpack_all(opened: zipfile.ZipFile, to: Path) -> None:
    members = opened.infolist()
    if len(members) > 2 * MOST_FILES:
        raise ArchiveError(f"it has more than {MOST_FILES:,} files")

    room = Room()
    for member in members:
        parts = _parts_of(member)
        if LEFT_OUT.intersection(parts):
            continue

        place = to.joinpath(*parts)
        if member.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue

        room.add_file()
        place.parent.mkdir(parents=True, exist_ok=True)
        # A second member of this name must not follow the first.
        with opened.open(member) as packed, place.open("xb") as file:
            while chunk := packed.read(CHUNK):
                room.add_bytes(len(chunk))
                file.write(chunk)


def _parts_of(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """The member's path.

    Raises ArchiveError where it leads elsewhere, or is no plain file.
    """
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    has_drive = re.match(r"[A-Za-z]:", name) is not None
    if path.is_absolute() or ".." in path.parts or has_drive:
        raise ArchiveError(f"the zip has a path that leads out of it: {name!r:.100}")
    if len(path.parts) > MOST_DEPTH:
        raise ArchiveError(f"the zip has folders in {len(path.parts)} others")

    # Where it was made on Windows, there is no kind.
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"the zip has a link, or no plain file: {name!r:.100}")
    if member.flag_bits & 1:
        raise ArchiveError("the zip is encrypted")
    return path.parts


# A folder


def copy(folder: Path, to: Path) -> None:
    """Copy a folder's plain files into a new folder.

    Raises ArchiveError.
    """
    room = Room()
    to.mkdir(parents=True)
    for path in files_in(folder):
        room.add_file()
        try:
            room.add_bytes(path.stat().st_size)
            place = to / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        except OSError as error:
            raise ArchiveError(f"it cannot be copied: {error.strerror}") from None


def files_in(folder: Path) -> Iterator[Path]:
    """The plain files of a submission, in a fixed order.

    Links are not among them, nor what is installed or made.
    """
    for place, folders, files in os.walk(folder):
        path = Path(place)
        folders[:] = [
            name
            for name in sorted(folders)
            if name not in LEFT_OUT and not _is_made(path / name)
        ]
        for name in sorted(files):
            mode = (path / name).lstat().st_mode
            if stat.S_ISREG(mode) and not name.endswith(".pyc"):
                yield path / name


def _is_made(folder: Path) -> bool:
    """Whether it is a virtual environment, or a link."""
    return folder.is_symlink() or (folder / "pyvenv.cfg").exists()


def digest(folder: Path) -> str:
    """A hash of all its files, by name and content."""
    found = hashlib.sha256()
    for path in files_in(folder):
        content = path.read_bytes()
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        found.update(b"%d %s %d\n" % (len(name), name, len(content)))
        found.update(content)
    return found.hexdigest()


def innermost(folder: Path) -> Path:
    """Where the files are, if folders hold nothing but one folder."""
    while True:
        inside = [path for path in folder.iterdir() if path.name not in LEFT_OUT]
        match inside:
            case [only] if only.is_dir() and not holds_source(only):
                folder = only
            case _:
                return folder


def holds_source(folder: Path) -> bool:
    """Whether it is part of a project, and no project itself."""
    return folder.name in SOURCES or (folder / "__init__.py").exists()
