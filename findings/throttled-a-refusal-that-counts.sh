#!/usr/bin/env bash
# throttled-py: with `sliding_window` in memory a refusal counts as if it
# had been admitted, where it is the first call of a window: a client
# that keeps asking for 6 of 10 is admitted once, and never again.
#
# Seen with throttled-py 3.5.0 on CPython 3.11, a quota of 10 in 2 s, and
# one client that asks for a cost of 6 every 0.1 s, for 8 s (4 windows):
#
#   sliding_window, MemoryStore      admitted once, at the start
#   the same with throttled.asyncio  admitted once, at the start
#   sliding_window, RedisStore       admitted in each window, 4 times
#                                    (the server is fakeredis 2.41.0)
#   fixed_window, MemoryStore        admitted in each window, 4 times
#   gcra, MemoryStore                admitted 7 or 8 times
#
# After two windows of silence MemoryStore admits it again.
#
# Why: in memory the counter of a new window is created before the call
# is judged, with the cost of that call as its first value; only a call
# that is admitted writes another value. So a first call that is refused
# (as the window before still weighs too much) leaves its cost behind.
# That fills the new window, whose count then has the first call of the
# next one refused, and so on. The script for Redis judges first, and
# writes only what it has admitted.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet 'throttled-py[redis]==3.5.0' 'fakeredis[lua]==2.41.0' redis==5.3.1

cat >program.py <<'PYTHON'
import asyncio
import socket
import sys
import threading
import time
from datetime import timedelta
from importlib.metadata import version

import fakeredis
import throttled
import throttled.asyncio

WINDOW = 2.0  # seconds
LIMIT = 10
WINDOWS = 4

changed = False


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}")
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


def limiter(library, using, store):
    return library.Throttled(
        key="client",
        using=using,
        quota=library.per_duration(timedelta(seconds=WINDOW), LIMIT),
        store=store,
    )


def until_the_next_window():
    # Windows are counted from the epoch, by the wall clock.
    return WINDOW - time.time() % WINDOW + 0.05


def admitted(throttle, cost):
    """The windows in which the client was admitted, counted from 0."""
    time.sleep(until_the_next_window())
    first = time.time() // WINDOW
    windows = []
    while time.time() // WINDOW < first + WINDOWS:
        window = int(time.time() // WINDOW - first)
        if not throttle.limit(cost=cost).limited:
            windows.append(window)
        time.sleep(0.1)
    return windows


async def admitted_by_asyncio(throttle, cost):
    await asyncio.sleep(until_the_next_window())
    first = time.time() // WINDOW
    windows = []
    while time.time() // WINDOW < first + WINDOWS:
        window = int(time.time() // WINDOW - first)
        result = await throttle.limit(cost=cost)
        if not result.limited:
            windows.append(window)
        await asyncio.sleep(0.1)
    return windows


def redis_server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    server = fakeredis.TcpFakeServer(address, server_type="redis")
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"redis://127.0.0.1:{address[1]}/0"


expect("version", version("throttled-py"), "3.5.0")

memory = limiter(throttled, "sliding_window", throttled.MemoryStore())
seen = admitted(memory, 6)
expect("sliding_window in memory, cost 6: windows with an admission", seen, [0])
time.sleep(2 * WINDOW + 0.1)
expect("after two silent windows: refused", memory.limit(cost=6).limited, False)

store = throttled.asyncio.MemoryStore()
throttle = limiter(throttled.asyncio, "sliding_window", store)
seen = asyncio.run(admitted_by_asyncio(throttle, 6))
expect("the same with throttled.asyncio", seen, [0])

store = throttled.RedisStore(server=redis_server())
seen = admitted(limiter(throttled, "sliding_window", store), 6)
expect("sliding_window in Redis, cost 6", seen, [0, 1, 2, 3])

seen = admitted(limiter(throttled, "fixed_window", throttled.MemoryStore()), 6)
expect("fixed_window in memory, cost 6", seen, [0, 1, 2, 3])

seen = admitted(limiter(throttled, "gcra", throttled.MemoryStore()), 6)
print(f"gcra in memory, cost 6: {seen}")
expect("gcra admitted in each window", set(seen), {0, 1, 2, 3})

sys.exit(changed)
PYTHON
venv/bin/python program.py
