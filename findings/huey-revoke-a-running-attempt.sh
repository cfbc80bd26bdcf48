#!/usr/bin/env bash
# huey: revoking a task while one of its attempts is running does not
# stop its retries: the end of that attempt forgets the revocation.
#
# Seen with huey 3.5.4 on CPython 3.11, MemoryHuey and SqliteHuey, a
# consumer with one worker thread, and a task with retries=2 whose first
# attempt fails. revoke_by_id() is called without a time and without
# `revoke_once`, so that it should hold until restore_by_id():
#
#   before the first attempt        no attempt; the task is revoked
#   while the first one is running  is_revoked() says True; the attempt
#                                   fails, is_revoked() says False, the
#                                   second attempt runs, and its result
#                                   is handed out; no signal `revoked`
#   while it waits for its retry    one attempt; the task is revoked
#   the whole kind of task, while   one attempt; the task is revoked
#   the first one is running
#
# Why: the worker deletes the revocation of a task after each attempt,
# and only then looks whether a retry is due; so what is checked before
# the retry is gone. The revocation of a whole kind of task has a key of
# its own, which stays. The guide says that a task can be revoked as
# long as it has not begun; the second attempt had not.
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
import threading
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
    """One task on a queue of its own, which fails in its first attempt."""

    def __init__(self, queue, retry_delay=0):
        self.queue = queue
        self.attempts = 0
        self.signals = []
        self.running = threading.Event()
        self.go_on = threading.Event()
        self.waiting = threading.Event()
        self.over = threading.Event()

        @queue.task(retries=2, retry_delay=retry_delay)
        def work():
            self.attempts += 1
            self.running.set()
            self.go_on.wait(20)
            if self.attempts == 1:
                raise ValueError("the first attempt")
            return f"attempt {self.attempts}"

        @queue.signal()
        def note(signal, task, error=None):
            self.signals.append(signal)
            if signal == "scheduled":
                self.waiting.set()
            if signal in ("revoked", "complete"):
                self.over.set()

        self.task = work
        self.result = work()
        self.consumer = queue.create_consumer(workers=1, periodic=False)

    def end(self):
        self.go_on.set()
        ended = self.over.wait(20)
        self.consumer.stop(graceful=True)
        return ended

    def tell(self, when, attempts, revoked, last):
        expect(f"{when}: it ended", self.end(), True)
        expect(f"{when}: attempts", self.attempts, attempts)
        expect(f"{when}: is_revoked() at the end", self.queue.is_revoked(self.result), revoked)
        expect(f"{when}: the last signal", self.signals[-1], last)


def main(kind, make):
    print(f"{kind}:")

    trial = Trial(make("before"))
    trial.queue.revoke_by_id(trial.result.id)
    trial.consumer.start()
    trial.tell("revoked before", 0, True, "revoked")

    trial = Trial(make("running"))
    trial.consumer.start()
    trial.running.wait(20)
    trial.queue.revoke_by_id(trial.result.id)
    expect("revoked while running: is_revoked()", trial.queue.is_revoked(trial.result), True)
    trial.tell("revoked while running", 2, False, "complete")
    expect("revoked while running: signal `revoked`", "revoked" in trial.signals, False)
    trial.result.reset()
    expect("revoked while running: the result", trial.result.get(), "attempt 2")

    trial = Trial(make("waiting"), retry_delay=3)
    trial.go_on.set()
    trial.consumer.start()
    trial.waiting.wait(20)
    trial.queue.revoke_by_id(trial.result.id)
    trial.tell("revoked while waiting for its retry", 1, True, "revoked")

    trial = Trial(make("kind"))
    trial.consumer.start()
    trial.running.wait(20)
    trial.task.revoke()
    trial.tell("its kind revoked while running", 1, True, "revoked")


logging.getLogger("huey").setLevel(logging.CRITICAL)
logging.getLogger("huey").addHandler(logging.NullHandler())
expect("version", version("huey"), "3.5.4")
main("MemoryHuey", huey.MemoryHuey)
main("SqliteHuey", lambda name: huey.SqliteHuey(name, filename=f"{name}.db"))
sys.exit(changed)
PYTHON
venv/bin/python program.py
