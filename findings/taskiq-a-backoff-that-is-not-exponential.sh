#!/usr/bin/env bash
# taskiq: what SmartRetryMiddleware(use_delay_exponent=True) waits is
# never exponential: it grows by factorials where the broker is to wait,
# and linearly where a schedule source is.
#
# Seen with taskiq 0.13.0 on CPython 3.11: default_delay=10, no jitter,
# max_delay_exponent=10000, and a task that fails in all of 6 attempts.
# Delays asked for before each retry, in seconds, where an exponential
# backoff (which its guide calls it) would be 10, 20, 40, 80, 160:
#
#   no schedule source (the label      10, 20, 60, 240, 1200
#   `delay` of the message)
#   a schedule source (add_schedule)   10, 20, 30, 40, 50
#   a task with the label delay=1      1, 2, 6, 24, 120
#   jitter, a constant delay of 10     each retry adds up to a second to
#   (no schedule source)               the delay of the one before
#
# InMemoryBroker does not look at the label: it retries at once, though
# the log names the delay. So tests in memory see neither series.
#
# Why: the delay is that of the message, times the number of the retry.
# Without a schedule source it is written back to the message as the
# label from which the next retry starts: its product is multiplied
# again. With one the label stays what it was, and the product is linear.
#
# Exits with 0 where that is seen again, else with 1. Needs python3 with
# venv, and a package index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet taskiq==0.13.0

cat >program.py <<'PYTHON'
import asyncio
import logging
import sys
import time
from datetime import datetime, timezone
from importlib.metadata import version

import taskiq

ATTEMPTS = 6

changed = False


def expect(what, seen, before):
    global changed
    print(f"{what}: {seen}")
    if seen != before:
        print(f"    CHANGED, it was: {before}")
        changed = True


class Labels(taskiq.TaskiqMiddleware):
    """Notes the delay that each message asks its broker for."""

    def __init__(self):
        super().__init__()
        self.delays = []

    def pre_send(self, message):
        self.delays.append(message.labels.get("delay"))
        return message


class Source(taskiq.ScheduleSource):
    """Notes the delay that each schedule asks for, and sends it at once."""

    def __init__(self, broker):
        self.broker = broker
        self.delays = []

    async def get_schedules(self):
        return []

    async def add_schedule(self, schedule):
        delay = schedule.time - datetime.now(timezone.utc)
        self.delays.append(round(delay.total_seconds()))
        task = self.broker.find_task(schedule.task_name)
        kicker = task.kicker().with_labels(**schedule.labels)
        await kicker.with_task_id(schedule.task_id).kiq(*schedule.args)


async def delays(with_source=False, labels=None, **options):
    """The delays before the retries, and how long all attempts took."""
    broker = taskiq.InMemoryBroker()
    noted = Labels()
    source = Source(broker) if with_source else None
    retry = taskiq.SmartRetryMiddleware(
        default_retry_count=ATTEMPTS,
        default_delay=10,
        max_delay_exponent=10000,
        schedule_source=source,
        **options,
    )
    broker.add_middlewares(noted, retry)
    attempts = []
    last = asyncio.Event()

    @broker.task(retry_on_error=True, **(labels or {}))
    async def work():
        attempts.append(time.monotonic())
        if len(attempts) == ATTEMPTS:
            last.set()
        raise ValueError("in each attempt")

    await broker.startup()
    await work.kiq()
    await asyncio.wait_for(last.wait(), 20)
    await broker.shutdown()
    asked = source.delays if with_source else noted.delays[1:]
    return [float(delay) for delay in asked], attempts[-1] - attempts[0]


async def main():
    expect("version", version("taskiq"), "0.13.0")

    seen, took = await delays(use_jitter=False, use_delay_exponent=True)
    expect("by the broker", seen, [10.0, 20.0, 60.0, 240.0, 1200.0])
    expect("InMemoryBroker took less than 5 s for all", took < 5, True)

    seen, _ = await delays(True, use_jitter=False, use_delay_exponent=True)
    expect("by a schedule source", seen, [10.0, 20.0, 30.0, 40.0, 50.0])

    label = {"delay": 1}
    seen, _ = await delays(labels=label, use_jitter=False, use_delay_exponent=True)
    expect("by the broker, label delay=1", seen, [1.0, 2.0, 6.0, 24.0, 120.0])

    seen, _ = await delays(use_jitter=True, use_delay_exponent=False)
    print(f"constant delay with jitter, by the broker: {seen}")
    steps = [after - before for before, after in zip([10.0] + seen, seen)]
    added = all(0 < step < 1 for step in steps)
    expect("each retry added up to a second", added, True)


logging.getLogger("taskiq").setLevel(logging.CRITICAL)
asyncio.run(main())
sys.exit(changed)
PYTHON
venv/bin/python program.py
