#!/usr/bin/env bash
# huey: rescheduling members of a chord calls its callback twice, or too
# early: the members' old times count as well as their new ones.
#
# Seen with huey 3.5.4 on CPython 3.11, MemoryHuey, a consumer with two
# worker threads, and chords of two tasks with one callback:
#
#   both members due in 4 s,     both run at once, and the callback gets
#   reschedule() of both         [a, b]; at their old time it is called
#                                again, with [SKIPPED, SKIPPED]
#   the first one due in 2 s,    at the old time the callback gets
#   reschedule(delay=6) of it    [SKIPPED, b], before the first one has
#                                run; it runs later, and its result
#                                never reaches a callback
#   neither rescheduled          the callback gets [a, b], once
#
# Why: rescheduling revokes the old task and submits a new one with the
# same place in the chord. The revoked one is only met when its old time
# has come; it then reports SKIPPED for its place and counts as a member
# that has ended. What is counted are ends, not places, and the count
# begins again from nothing once the callback has been submitted.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet huey==3.5.4

cat >program.py <<'PYTHON'
import logging
import sys
import time
from importlib.metadata import version

import huey

changed = False


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}")
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


class Trial:
    """A chord of two tasks on a queue of its own, and what was run."""

    def __init__(self, name, *delays):
        self.run = run = []
        queue = huey.MemoryHuey(name)

        @queue.task()
        def member(name):
            run.append(name)
            return name

        @queue.task()
        def callback(results):
            run.append(f"callback({', '.join(map(str, results))})")

        @queue.signal("revoked")
        def revoked(signal, task):
            run.append("an old one is met")

        members = [member.s(name, delay=delay) for name, delay in zip("ab", delays)]
        chord = queue.enqueue(huey.group(members).then(callback))
        self.members = list(chord.results)
        self.consumer = queue.create_consumer(workers=2, periodic=False)

    def end(self, count):
        """Wait until `count` things were run, and a little longer."""
        self.consumer.start()
        deadline = time.monotonic() + 30
        while len(self.run) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        self.consumer.stop(graceful=True)
        return self.run


expect("version", version("huey"), "3.5.4")
logging.getLogger("huey").setLevel(logging.CRITICAL)
logging.getLogger("huey").addHandler(logging.NullHandler())

trial = Trial("both", 4, 4)
for member in trial.members:
    member.reschedule()
seen = trial.end(6)
expect("both rescheduled to now: run first", sorted(seen[:2]), ["a", "b"])
expect("both rescheduled to now: then", seen[2:3], ["callback(a, b)"])
expect(
    "both rescheduled to now: at their old time",
    seen[3:],
    ["an old one is met", "an old one is met", "callback(SKIPPED, SKIPPED)"],
)

trial = Trial("one", 2, 0)
trial.members[0].reschedule(delay=6)
expect(
    "one rescheduled to later: run",
    trial.end(4),
    ["b", "an old one is met", "callback(SKIPPED, b)", "a"],
)

trial = Trial("none", 2, 0)
expect("none rescheduled: run", trial.end(3), ["b", "a", "callback(a, b)"])
sys.exit(changed)
PYTHON
venv/bin/python program.py
