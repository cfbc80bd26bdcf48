"""HTTP clients: what each does with the answers of this API.

Rule: each has its usual way to retry switched on, if it has one, and
otherwise its defaults. A request is a process of its own, so that its
time is the client's.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.helpers import SUM
from tests.interop.environment import HERE, PLACE, ROOT, find, variables
from tests.interop.subjects import Address, Subject, free_port, started

Row = dict[str, str]

# Longer than the longest long poll.
LONG_REPORT = {
    "task_type": "generate_report",
    "parameters": {"title": "x", "sections": 20},
}
BODY = json.dumps(SUM)
# One request in so many seconds: the next is refused, and comes through
# after Retry-After.
WINDOW = 3
# Seconds that a request may take, a long poll with its retries too.
PATIENCE = 40.0
LARGE = 2_000_000
PYTHON = ("requests", "aiohttp", "httpx-retries")
NODE = ("fetch", "undici", "got", "ky", "axios-retry")
STATUS = re.compile(r"HTTP/1\.1 (\d{3})")
COMMAND_LINE = {
    # To /dev/null, it could not begin anew.
    "curl": "curl --silent --retry 3 --dump-header - --output answer",
    "wget": "wget --server-response --tries=3 --retry-on-http-error=429,503 "
    "--output-document=answer",
    "httpie": "http --ignore-stdin --print=h",
}
COLUMNS = (
    "202",
    "429 to GET",
    "429 to POST",
    "long poll of 10 s",
    "413, 2 MB",
)
TABLES = {"What clients make of the answers": COLUMNS}


class Told(NamedTuple):
    """What a client said at the end, and after how many seconds."""

    word: str
    seconds: float


def check(name: str) -> Callable[[Path], Row]:
    """The check that makes the row of this name."""
    return lambda folder: play(name, folder)


CHECKS = {name: check(name) for name in [*COMMAND_LINE, *PYTHON, *NODE]}


def prepare(folder: Path) -> None:
    """Put the programs, and what they import, into a folder."""
    for name in ("request.py", "request.mjs"):
        shutil.copy(HERE / "clients" / name, folder)
    shutil.copy(HERE / "package.json", folder)
    (folder / "node_modules").symlink_to(PLACE / "node_modules")


def play(name: str, folder: Path) -> Row:
    """All that is seen of a client."""
    address = Address("127.0.0.1", free_port())
    subject = Subject(address, address)
    line = f"uvicorn main:app --port {address.port}"
    url = f"http://127.0.0.1:{address.port}"

    def ask(method: str, path: str, *size: str) -> Told:
        return request(name, folder, method, url + path, *size)

    row = {}
    with started(
        line, address, ROOT, TASKMANAGER_RATE_LIMIT="off", TASKMANAGER_WORK_SCALE="2"
    ):
        told = ask("POST", "/tasks")
        row["202"] = f"{told.word}, waits for nothing"
        if told.seconds > WINDOW:
            row["202"] = f"{told.word}, waits"

        path = subject.submit(LONG_REPORT)
        row["long poll of 10 s"] = ask("GET", f"{path}?wait=true&since=9").word
        row["413, 2 MB"] = ask("POST", "/tasks", str(LARGE)).word

    limited = {"TASKMANAGER_RATE_LIMIT": "1", "TASKMANAGER_RATE_WINDOW": str(WINDOW)}
    with started(line, address, ROOT, **limited):
        for method in ("GET", "POST"):
            subject.ask("GET", "/tasks", client="127.0.0.1")
            row[f"429 to {method}"] = retried(ask(method, "/tasks"))
            time.sleep(WINDOW)
    return row


def retried(told: Told) -> str:
    """What a client has made of Retry-After."""
    if told.word == "429":
        return "gives up" if told.seconds < WINDOW else "tries in vain"
    if not told.word.startswith("2"):
        return told.word
    return "waits, succeeds"


def request(name: str, folder: Path, method: str, url: str, *size: str) -> Told:
    """One request of a client, as a process."""
    words = [name, method, url, *size]
    if name in PYTHON:
        command = [str(PLACE / "clients" / "bin" / "python"), "request.py", *words]
    elif name in NODE:
        command = [find("node"), "request.mjs", *words]
    else:
        command = _command(name, folder, method, url, *size)

    begun = time.monotonic()
    try:
        printed = subprocess.run(
            command,
            cwd=folder,
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        ).stdout
    except subprocess.TimeoutExpired:
        return Told(f"nothing within {PATIENCE:.0f} s", PATIENCE)
    seconds = time.monotonic() - begun

    if name not in COMMAND_LINE:
        return Told(printed.strip(), seconds)
    statuses = STATUS.findall(printed)
    return Told(statuses.pop() if statuses else "no answer", seconds)


def _command(name: str, folder: Path, method: str, url: str, *size: str) -> list[str]:
    """The command of a client that has one."""
    program, *options = COMMAND_LINE[name].split()
    body = folder / "body.json"
    body.write_text(BODY, encoding="utf-8")
    for number in size:
        body.write_bytes(bytes(int(number)))

    content = "Content-Type: application/json"
    sent: list[str] = []
    match name:
        case "curl":
            options += ["--request", method, "--header", content]
            if method == "POST":
                sent = ["--data-binary", f"@{body}"]
        case "wget":
            options += ["--method", method, "--header", content]
            if method == "POST":
                sent = ["--body-file", str(body)]
        case "httpie":
            options.append(method)
            sent = ["Content-Type:application/json"]
            if method == "POST":
                sent.append(f"@{body}")
    if name == "httpie":
        return [find(program), *options, url, *sent]
    return [find(program), *options, *sent, url]
