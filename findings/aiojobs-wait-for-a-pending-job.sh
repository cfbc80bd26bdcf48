#!/usr/bin/env bash
# aiojobs: wait(timeout=...) for a job that is pending STARTS it when the
# time is over, beyond the scheduler's limit.
#
# Seen with aiojobs 1.4.0 on CPython 3.11, a scheduler with limit=1, and
# two jobs of 0.5 s, so that the second one is pending:
#
#   the active job    wait(timeout=0.05) raises TimeoutError; the job is
#                     cancelled and closed
#   the pending job   wait(timeout=0.05) raises InvalidStateError; its
#                     `closed` is True, and it begins at once: two jobs
#                     run where the limit is one. It runs to its end,
#                     and another wait() returns its result
#
# Why: closing a job that has not begun first starts its task, to cancel
# it then. But the wait that ran out has cancelled the Future by which
# the job tells that it has started, so that the start raises halfway,
# and the cancellation is never reached. The error alone was reported as
# aio-libs/aiojobs#67. close() without a wait before it does take a
# pending job off.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet aiojobs==1.4.0

cat >program.py <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

import aiojobs

changed = False
begun = []
ended = []


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}")
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


async def work(name):
    begun.append(name)
    await asyncio.sleep(0.5)
    ended.append(name)
    return name


async def outcome(job):
    try:
        return f"returned {await job.wait(timeout=0.05)}"
    except BaseException as error:
        return type(error).__name__


async def main():
    expect("version", version("aiojobs"), "1.4.0")

    scheduler = aiojobs.Scheduler(limit=1)
    await scheduler.spawn(work("in the way"))
    pending = await scheduler.spawn(work("pending"))
    expect("waiting for a pending job", await outcome(pending), "InvalidStateError")
    expect("it is closed", pending.closed, True)
    await asyncio.sleep(0.05)
    expect("jobs begun", begun, ["in the way", "pending"])
    expect("jobs ended so far, where one may run at a time", ended, [])
    await asyncio.sleep(1)
    expect("jobs that ran to their end", ended, ["in the way", "pending"])
    expect("waiting for it again", await outcome(pending), "returned pending")

    active = await scheduler.spawn(work("active"))
    await asyncio.sleep(0.01)
    expect("waiting for an active job", await outcome(active), "TimeoutError")
    await asyncio.sleep(1)
    expect("it ran to its end", "active" in ended, False)

    await scheduler.spawn(work("in the way"))
    taken_off = await scheduler.spawn(work("taken off"))
    await taken_off.close()
    await asyncio.sleep(1)
    expect("a pending job after close() began", "taken off" in begun, False)
    await scheduler.close()


asyncio.run(main())
sys.exit(changed)
PYTHON
venv/bin/python program.py
