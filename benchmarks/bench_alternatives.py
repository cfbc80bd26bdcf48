"""Alternatives: what a user feels, beside what you would use instead.

A job adds up three numbers. It counts from the moment that a client
sends it until that client knows its result, by whatever way its
contestant offers. Each round starts every contestant afresh. Rules: all
results are checked, each has its own; and a job that its contestant
loses ends the run, except while its worker starts.
"""

import re
import statistics
import time
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from benchmarks import contestants, load
from benchmarks.contestants import Contestant, Running, running
from benchmarks.harness import Bench, Chart, figures_of, percentile

LONG_POLL = Contestant("taskmanager, long poll", long_poll=True)
POLLS = Contestant("taskmanager, polls")
WITHOUT_LOG = replace(LONG_POLL, name="taskmanager, long poll, its log off", log=False)
PLAIN_LONG_POLL = replace(
    LONG_POLL, name="taskmanager, long poll, plain uvicorn", standard=False
)
PLAIN_POLLS = replace(POLLS, name="taskmanager, polls, plain uvicorn", standard=False)
# A limit in front of all routes, as the engine has it.
MIDDLEWARE = replace(
    contestants.BACKGROUND,
    name="BackgroundTasks, slowapi's middleware",
    variables={"SLOWAPI": "middleware"},
)
PLAIN_MIDDLEWARE = replace(
    MIDDLEWARE,
    name="BackgroundTasks, slowapi's middleware, plain uvicorn",
    standard=False,
)
PLAIN_BACKGROUND = replace(
    contestants.BACKGROUND,
    name=f"{contestants.BACKGROUND.name}, plain uvicorn",
    standard=False,
)
ARQ_TUNED = replace(
    contestants.ARQ,
    name="arq, looking for jobs every 10 ms",
    variables={"ARQ_POLL_DELAY": "0.01"},
)
CONTESTANTS = [
    LONG_POLL,
    POLLS,
    WITHOUT_LOG,
    MIDDLEWARE,
    contestants.BACKGROUND,
    contestants.SAQ,
    contestants.HUEY,
    contestants.DRAMATIQ,
    contestants.TASKIQ,
    contestants.CELERY,
    contestants.ARQ,
    ARQ_TUNED,
    PLAIN_LONG_POLL,
    PLAIN_POLLS,
    PLAIN_MIDDLEWARE,
    PLAIN_BACKGROUND,
]
CLIENTS = 32
MANY_CLIENTS = 128
# Seconds that the job takes whose client waits for it.
SLOW_JOB = 0.25
# Seconds until the last line must be in the log.
PATIENCE = 10


@dataclass
class Sample:
    """What one contestant came to in one round."""

    # Seconds until a first result was known.
    start: float
    # Jobs lost in that time.
    lost: int
    # Megabytes, idle.
    rss: float
    pss: float
    # Milliseconds, of one client alone, and of CLIENTS.
    alone_p50: float
    p50: float
    p99: float
    # Jobs a second.
    rate: float
    rate_of_many: float
    requests: float
    # CPU seconds of all processes, for a thousand jobs.
    cpu: float
    # Milliseconds from the end of a slow job until its result is known.
    late: float
    requests_of_slow: float
    # The load generator's own share of the time.
    busy: float


async def run(bench: Bench) -> None:
    able = contestants.present(bench, _with_another_checkout())
    rounds = bench.pick(1, 3, 5)
    title = "Jobs, from POST to their known result"
    takes = {each.name: partial(_sample, bench, each) for each in able}
    samples = await bench.take_turns(title, takes, rounds, warm_up=False)
    if not samples:
        return

    _speed(bench, samples)
    _costs(bench, samples)
    _targets(bench, able, samples)
    _notes(bench, samples)


def _with_another_checkout() -> list[Contestant]:
    if contestants.BESIDE is None:
        return CONTESTANTS

    root = contestants.BESIDE
    others = [
        replace(each, name=f"{each.name}, of {root.name}", root=root)
        for each in CONTESTANTS
        if each.ours
    ]
    return CONTESTANTS + others


# One sample


async def _sample(bench: Bench, contestant: Contestant) -> Sample:
    seconds = bench.pick(0.2, 1.5, 2.0)
    jobs = contestant.jobs()
    with running(contestant) as running_now:
        do_jobs = partial(running_now.do_jobs, jobs)
        lost = await running_now.until_started(jobs)
        start = time.perf_counter() - running_now.begun
        # What it imports with its first jobs is in the memory.
        await do_jobs(4, bench.pick(0.05, 0.5))
        memory = running_now.programs.memory()

        alone = await do_jobs(1, seconds / 2)
        cpu = running_now.programs.cpu_seconds()
        begun = time.perf_counter()
        working = time.process_time()
        known = await do_jobs(CLIENTS, seconds)
        busy = (time.process_time() - working) / (time.perf_counter() - begun)
        cpu = running_now.programs.cpu_seconds() - cpu
        many = await do_jobs(MANY_CLIENTS, seconds / 2)
        _check_log(bench, running_now, next(jobs))
        if not contestant.ours:
            late = await _late(bench, running_now)

    if contestant.ours:
        # How long its jobs take is set at its start.
        with running(contestant, SLOW_JOB) as running_now:
            late = await _late(bench, running_now)

    count = len(known.latencies)
    return Sample(
        start=start,
        lost=lost,
        rss=memory.rss,
        pss=memory.pss,
        alone_p50=percentile(alone.latencies, 50),
        p50=percentile(known.latencies, 50),
        p99=percentile(known.latencies, 99),
        rate=known.rate,
        rate_of_many=many.rate,
        requests=known.requests / count,
        cpu=cpu / count * 1000,
        late=statistics.median(late.latencies) - SLOW_JOB * 1000,
        requests_of_slow=late.requests / len(late.latencies),
        busy=busy,
    )


async def _late(bench: Bench, running_now: Running) -> load.Known:
    """One client waits for some slow jobs, one after the other."""
    jobs = running_now.contestant.jobs(SLOW_JOB)
    await running_now.until_started(jobs)
    return await running_now.do_jobs(jobs, 1, SLOW_JOB * bench.pick(0.5, 2.5))


def _check_log(bench: Bench, running_now: Running, following: load.Job) -> None:
    """Of the engine: each job has its two lines in the log."""
    contestant = running_now.contestant
    if not (contestant.ours and contestant.log):
        return

    expected = 2 * following.number
    lines = 0
    end = time.monotonic() + PATIENCE
    # What is written last comes a moment later.
    while lines < expected and time.monotonic() < end:
        time.sleep(0.05)
        lines = len(re.findall('"from": ', running_now.web.said()))
    bench.check(
        lines == expected, f"{lines} lines of {following.number} jobs are in the log"
    )


# The tables


def _of(samples: dict[str, list[Sample]], what: str) -> dict[str, list[float]]:
    return {
        name: [getattr(sample, what) for sample in taken]
        for name, taken in samples.items()
    }


def _medians(taken: list[Sample]) -> Sample:
    values: dict[str, Any] = {}
    for each in fields(Sample):
        values[each.name] = statistics.median(
            getattr(sample, each.name) for sample in taken
        )
    return Sample(**values)


def _speed(bench: Bench, samples: dict[str, list[Sample]]) -> None:
    rates = figures_of(_of(samples, "rate"))
    reference = next(iter(rates))
    rows: list[tuple[object, ...]] = []
    for name, figure in rates.items():
        medians = _medians(samples[name])
        row = (
            name,
            round(medians.rate),
            figure.ratio,
            figure.spread,
            round(medians.rate_of_many),
            medians.alone_p50,
            medians.p50,
            medians.p99,
        )
        rows.append(row)

    header = [
        "",
        f"jobs/s, {CLIENTS} clients",
        f"ratio to {reference}",
        "its quartiles",
        f"jobs/s, {MANY_CLIENTS} clients",
        "1 client: p50, ms",
        f"{CLIENTS} clients: p50, ms",
        "p99, ms",
    ]
    bench.table("Jobs that do nothing, from POST to their known result", header, rows)

    bars: list[tuple[Any, float]] = [
        (name, figure.median) for name, figure in rates.items()
    ]
    chart = Chart(
        name="alternatives",
        title=f"Jobs from POST to their known result, {CLIENTS} clients",
        kind="bars",
        x_label="jobs a second",
        y_label="",
        series={"": bars},
    )
    bench.charts.append(chart)


def _costs(bench: Bench, samples: dict[str, list[Sample]]) -> None:
    rows: list[tuple[object, ...]] = []
    for name, taken in samples.items():
        medians = _medians(taken)
        row = (
            name,
            medians.requests,
            medians.cpu,
            medians.rss,
            medians.pss,
            medians.start,
            medians.late,
            medians.requests_of_slow,
        )
        rows.append(row)

    header = [
        "",
        "requests a job",
        "CPU s for 1,000 jobs",
        "idle: RSS, MB",
        "PSS, MB",
        "start to a first result, s",
        f"a job of {SLOW_JOB * 1000:.0f} ms is known late by, ms",
        "requests for it",
    ]
    bench.table(
        "The same: what it takes, all processes together, Redis included", header, rows
    )


def _targets(
    bench: Bench, able: list[Contestant], samples: dict[str, list[Sample]]
) -> None:
    rates = figures_of(_of(samples, "rate"))
    pairs = [
        (LONG_POLL, MIDDLEWARE, 1.15),
        (LONG_POLL, contestants.BACKGROUND, 1.15),
        (PLAIN_POLLS, PLAIN_MIDDLEWARE, 0.9),
        (PLAIN_POLLS, PLAIN_BACKGROUND, 0.9),
    ]
    pairs += [
        (PLAIN_POLLS, each, 2.0)
        for each in able
        if each.root != PLAIN_POLLS.root and each.pause and not each.standard
    ]
    for ours, other, at_least in pairs:
        if ours in able and other in able:
            bench.target(
                f"{ours.name}: jobs/s, times {other.name}",
                rates[ours.name].times(rates[other.name]),
                at_least=at_least,
            )

    durable = [each.name for each in able if each.durable]
    if durable and LONG_POLL in able:
        fastest = max(durable, key=lambda name: rates[name].median)
        bench.target(
            f"{LONG_POLL.name}: jobs/s, times the fastest durable queue ({fastest})",
            rates[LONG_POLL.name].times(rates[fastest]),
            at_least=2.5,
        )


def _notes(bench: Bench, samples: dict[str, list[Sample]]) -> None:
    busy = max(sample.busy for taken in samples.values() for sample in taken)
    bench.notes.append(
        f"Five jobs at once everywhere. uvloop and httptools, but where it says plain "
        f"uvicorn; polls every 10 ms. The load generator worked for {busy:.0%} of the "
        "time at most, and shared the machine's cores with what it measured."
    )
    for name, taken in samples.items():
        lost = sum(sample.lost for sample in taken)
        if lost:
            bench.notes.append(
                f"{name} gave up {lost} jobs that came while its worker started, in "
                f"{len(taken)} starts."
            )
