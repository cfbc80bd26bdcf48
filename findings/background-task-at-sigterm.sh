#!/usr/bin/env bash
# What SIGTERM does to a BackgroundTask whose response is out already
# depends on the server: waited for, cancelled, or gone without a word.
#
# Seen on CPython 3.11 with starlette 1.10.0: GET / answers at once, and
# its BackgroundTask sleeps 2 s. SIGTERM comes 0.3 s after the answer.
#
#   uvicorn 0.54.0     waits for it: done, exit after some 1.7 s
#   hypercorn 0.18.0   waits for it: done, exit after some 1.7 s
#   daphne 4.2.3       cancels it at once: CancelledError is raised in it
#   gunicorn 27.0.1    (its own worker "asgi") cancels it after about a
#                      second, though its graceful time-out is 30 s
#   granian 2.8.9      is gone at once: the task gets no CancelledError,
#                      its `finally` does not run, and no line is logged
#
# granian does wait for a request that has not been answered: the same
# sleep before the answer is finished, and the client gets its 200. So
# "graceful" there ends with the last response, not with the work.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet starlette==1.10.0 uvicorn==0.54.0 \
    hypercorn==0.18.0 daphne==4.2.3 gunicorn==27.0.1 granian==2.8.9

cat >app.py <<'PYTHON'
import asyncio
import os

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def note(words):
    with open(os.environ["NOTES"], "a") as file:
        file.write(words + "\n")


async def work():
    note("begun")
    try:
        await asyncio.sleep(2)
        note("done")
    except asyncio.CancelledError:
        note("CancelledError")
        raise
    finally:
        note("finally")


async def after(request):
    return PlainTextResponse("answered", background=BackgroundTask(work))


async def before(request):
    await work()
    return PlainTextResponse("answered")


app = Starlette(routes=[Route("/after", after), Route("/before", before)])
PYTHON

cat >program.py <<'PYTHON'
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version

SERVERS = {
    "uvicorn": ["uvicorn", "app:app", "--port", "PORT"],
    "hypercorn": ["hypercorn", "app:app", "--bind", "127.0.0.1:PORT"],
    "daphne": ["daphne", "--port", "PORT", "app:app"],
    "gunicorn": ["gunicorn", "app:app", "-k", "asgi", "--bind", "127.0.0.1:PORT"],
    "granian": ["granian", "--interface", "asgi", "--port", "PORT", "app:app"],
}
VERSIONS = {
    "starlette": "1.10.0",
    "uvicorn": "0.54.0",
    "hypercorn": "0.18.0",
    "daphne": "4.2.3",
    "gunicorn": "27.0.1",
    "granian": "2.8.9",
}
changed = False


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}", flush=True)
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def answers(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/nothing-here")
        return connection.getresponse().status == 404
    except OSError:
        return False


def play(server, path):
    """What the work saw, what the client saw, and seconds to the exit."""
    port = free_port()
    notes = f"notes-{server}-{path}"
    command = [word.replace("PORT", str(port)) for word in SERVERS[server]]
    process = subprocess.Popen(
        ["venv/bin/" + command[0], *command[1:]],
        env={**os.environ, "NOTES": notes},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 20
        while not answers(port) and time.monotonic() < until:
            time.sleep(0.1)

        said = []

        def ask():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=9)
                connection.request("GET", f"/{path}")
                said.append(connection.getresponse().status)
                connection.close()
            except (OSError, http.client.HTTPException):
                said.append("no answer")

        client = threading.Thread(target=ask)
        client.start()
        if path == "after":
            client.join()
        time.sleep(0.3)

        process.terminate()
        signalled = time.monotonic()
        process.wait(15)
        seconds = time.monotonic() - signalled
        client.join()
        with open(notes) as file:
            return ", ".join(file.read().split()), said[0], seconds
    finally:
        process.kill()


def pace(seconds):
    if seconds < 0.6:
        return "at once"
    if seconds < 1.5:
        return "about 1 s"
    return "about 2 s"


for name, known in VERSIONS.items():
    expect(name, version(name), known)

print("\nThe answer is out, its BackgroundTask is under way:")
expected = {
    "uvicorn": "begun, done, finally; exit: about 2 s",
    "hypercorn": "begun, done, finally; exit: about 2 s",
    "daphne": "begun, CancelledError, finally; exit: at once",
    "gunicorn": "begun, CancelledError, finally; exit: about 1 s",
    "granian": "begun; exit: at once",
}
for server, before in expected.items():
    seen, _, seconds = play(server, "after")
    expect(server, f"{seen}; exit: {pace(seconds)}", before)

print("\nThe same work before the answer:")
seen, status, _ = play("granian", "before")
expect("granian", f"{seen}; {status}", "begun, done, finally; 200")
sys.exit(changed)
PYTHON
venv/bin/python program.py
