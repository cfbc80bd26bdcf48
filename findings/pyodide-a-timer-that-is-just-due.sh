#!/usr/bin/env bash
# Pyodide: loop.call_at() refuses a time that has come. asyncio's own
# loops run the callback at once. A limiter that lives by such timers
# may lose one, and with it the only wake-up of those who wait.
#
# Seen with Pyodide 314.0.7 under Node.js 20, and with the loop of
# CPython 3.11:
#
#                                  CPython        Pyodide
#   call_at(loop.time(), f)        runs f         ValueError: Can't
#                                                 schedule in the past
#   call_later(-0.001, f)          runs f         the same ValueError
#
# Why: call_at() there is call_later() with what is left until then, by
# a clock that is read anew, so that a time that was still ahead when it
# was computed can have passed; and a negative delay is an error.
#
# What it costs: aiolimiter 1.3.0 sets a timer for the moment of its
# next permit. Under Pyodide that timer was refused now and then, and
# nobody who waited for the limiter went on. The error is raised in a
# timer, so that it reaches no task, but the loop's exception handler.
#
# Exits with 0 where that is seen again, else with 1. Needs python3,
# Node.js 20 or later with npm, and its registry.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund pyodide@314.0.7

cat >program.py <<'PYTHON'
import asyncio
import sys

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


async def main():
    loop = asyncio.get_running_loop()
    pyodide = sys.platform == "emscripten"
    refused = "ValueError: Can't schedule in the past"
    print(f"{sys.platform}, Python {sys.version.split()[0]}, {type(loop).__name__}:")

    seen = await outcome(lambda callback: loop.call_at(loop.time(), callback))
    expect("call_at(loop.time())", seen, refused if pyodide else "runs")
    seen = await outcome(lambda callback: loop.call_later(-0.001, callback))
    expect("call_later(-0.001)", seen, refused if pyodide else "runs")
    return changed
PYTHON

cat >program.mjs <<'JAVASCRIPT'
import { readFileSync } from "node:fs";
import { loadPyodide } from "pyodide";

const pyodide = await loadPyodide();
console.log(`Pyodide ${pyodide.version}, Node.js ${process.version}`);
const program = readFileSync("program.py", "utf8");
const changed = await pyodide.runPythonAsync(`${program}\nawait main()`);
process.exit(changed ? 1 : 0);
JAVASCRIPT

status=0
python3 -c 'import asyncio, sys, program; sys.exit(asyncio.run(program.main()))' || status=1
node program.mjs || status=1
exit "$status"
