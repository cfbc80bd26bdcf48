#!/usr/bin/env bash
# Pyodide: loop.call_at() refuses a time that has come. asyncio's own
# loops run the callback at once. Under aiolimiter that loses a wake-up
# now and then, and then nobody who waits for the limiter goes on.
#
# Seen with Pyodide 314.0.7 under Node.js 20, and with the loop of
# CPython 3.11; aiolimiter 1.3.0 on both:
#
#                                  CPython        Pyodide
#   call_at(loop.time(), f)        runs f         ValueError: Can't
#                                                 schedule in the past
#   call_later(-0.001, f)          runs f         the same ValueError
#   300 tasks share one            all get        some 2 to 60 get
#   AsyncLimiter(1, 0.01), each    through, in    through, the others
#   acquires it once               3 s            still wait after 10 s
#
# The third one's ValueError is as a rule raised in a timer, so that it
# reaches no task, but the loop's exception handler, once.
#
# Why: call_at() there is call_later() with what is left until then, by
# a clock that is read anew, so that a time that was still ahead when it
# was computed can have passed; and a negative delay is an error. Delays
# up to 2 ms moreover do not wait at all. So a limiter that sets a timer
# for the moment of its next permit is called early, sees that a few
# microseconds are missing, sets the timer again, and again, until those
# few pass between its reading of the clock and the loop's. Its timer is
# gone then, and only the timer would have woken the next waiter.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, a package index, Node.js 20 or later with npm, and its registry.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet aiolimiter==1.3.0
venv/bin/pip download --quiet --no-deps aiolimiter==1.3.0
npm install --silent --no-audit --no-fund pyodide@314.0.7

cat >program.py <<'PYTHON'
import asyncio
import sys
from importlib.metadata import version

from aiolimiter import AsyncLimiter

TASKS = 300

changed = False


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}")
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


async def outcome(schedule):
    ran = asyncio.Event()
    try:
        schedule(ran.set)
        await asyncio.wait_for(ran.wait(), 5)
        return "runs"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


async def share_a_limiter(errors):
    """How many tasks get through a limiter of one permit every 10 ms."""
    limiter = AsyncLimiter(1, 0.01)
    through = 0

    async def use():
        nonlocal through
        await limiter.acquire()
        through += 1

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    tasks = [asyncio.ensure_future(use()) for _ in range(TASKS)]
    _, waiting = await asyncio.wait(tasks, timeout=10)
    loop.set_exception_handler(None)
    for task in waiting:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    errors.extend(result for result in results if isinstance(result, Exception))
    return through


async def main():
    loop = asyncio.get_running_loop()
    pyodide = sys.platform == "emscripten"
    refused = "ValueError: Can't schedule in the past"
    print(f"{sys.platform}, Python {sys.version.split()[0]}, {type(loop).__name__}:")
    expect("version of aiolimiter", version("aiolimiter"), "1.3.0")

    seen = await outcome(lambda callback: loop.call_at(loop.time(), callback))
    expect("call_at(loop.time())", seen, refused if pyodide else "runs")
    seen = await outcome(lambda callback: loop.call_later(-0.001, callback))
    expect("call_later(-0.001)", seen, refused if pyodide else "runs")

    errors = []
    through = await share_a_limiter(errors)
    print(f"tasks that got through the limiter: {through} of {TASKS}")
    expect("all of them", through == TASKS, not pyodide)
    seen = {f"{type(error).__name__}: {error}" for error in errors}
    expect("errors that told of it", seen, {refused} if pyodide else set())
    return changed
PYTHON

cat >program.mjs <<'JAVASCRIPT'
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const pyodide = await loadPyodide();
console.log(`Pyodide ${pyodide.version}, Node.js ${process.version}`);
const wheel = readFileSync("aiolimiter-1.3.0-py3-none-any.whl");
pyodide.unpackArchive(new Uint8Array(wheel), "whl");
const program = readFileSync("program.py", "utf8");
const changed = await pyodide.runPythonAsync(`${program}\nawait main()`);
process.exit(changed ? 1 : 0);
JAVASCRIPT

status=0
venv/bin/python -c 'import asyncio, sys, program; sys.exit(asyncio.run(program.main()))' || status=1
node program.mjs || status=1
exit "$status"
