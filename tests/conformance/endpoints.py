"""Endpoints: what each of the four routes answers."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from typing import Any

from tests.conformance.api import (
    Answer,
    Api,
    NotGradedError,
    UnmetError,
    expect,
    hint,
    holds,
)
from tests.conformance.requirement import Play, requirement

NO_FAILURE = (
    "no task that always fails was found; "
    "if there is one, set `failing` in a TOML file, see its README.md"
)
SUCCESS = (200, 202, 204)


def endpoint(
    text: str, learn: str, *, open: bool = False, needs: tuple[str, ...] = ()
) -> Callable[[Play], Play]:
    return requirement("endpoints", text, learn, open=open, needs=needs)


async def processing_for(api: Api, seconds: float) -> str:
    """A slow task that has been processing for so long."""
    task_id = await api.submit(api.solution.slow)
    await api.until(task_id, api.solution.processing)
    await api.sleep(seconds)

    status = await api.status(task_id)
    if api.done(status):
        raise NotGradedError(
            f"after {seconds:g} s the slow task was {status!r}; {api.longer}"
        )
    return task_id


async def at_work(api: Api) -> int:
    """How many slow tasks are in process at a time, at most.

    They are twice as many as there are to be workers, so that what
    works in batches finds a whole one, and are looked at each second.
    """
    workers = api.solution.workers
    ids = [await api.submit(api.solution.slow) for _ in range(2 * workers)]
    most = 0

    # Not at moments at which tasks end and begin.
    await api.sleep(0.63)
    for _ in range(70):
        seen = [await api.status(task_id) for task_id in ids]
        most = max(most, seen.count(api.solution.processing))
        if most >= workers or all(map(api.done, seen)):
            break
        await api.sleep(1)

    for task_id in ids:
        await api.cancel(task_id)
    return most


async def workers_before(api: Api) -> int:
    """How many tasks are in process at a time, at first.

    That they are five is one requirement of its own. Raises
    NotGradedError where there is none.
    """
    count = min(await at_work(api), api.solution.workers)
    if not count:
        raise NotGradedError("no task was in process", cause="works_unasked")

    # Where they cannot be cancelled, they end by themselves.
    with contextlib.suppress(UnmetError):
        task_id = await api.submit(api.solution.slow)
        await api.until_over(task_id, within=31.0 * 2 * api.solution.workers)
    return count


async def workers_are_left(api: Api, before: int, what: str) -> None:
    """Raises UnmetError where fewer are in process than before."""
    count = await at_work(api)
    expect(
        count >= before,
        f"{before} tasks in process at a time, as before, after {what}",
        f"{count} were",
    )


async def failing_task(api: Api) -> str:
    """Hand in a task that fails by itself; its id.

    Raises NotGradedError where there is none.
    """
    if api.solution.failing is None:
        raise NotGradedError(NO_FAILURE)
    answer = await api.post(api.solution.failing)
    if answer.status in (400, 404, 422):
        raise NotGradedError(NO_FAILURE)

    expect(answer.accepted, "202", str(answer), needs=("submit_answers_202",))
    return api.id_of(answer)


async def ended_tasks(api: Api) -> dict[str, str]:
    """The ids of tasks that have ended otherwise than completed.

    By how they ended: cancelled while it was queued, cancelled in
    process, and failed; as far as they did so, which other lines are
    about.
    """
    found = {}
    running = await processing_for(api, 0)
    others = [await api.submit(api.solution.slow) for _ in range(api.solution.workers)]
    for kind, task_id in (("while queued", others[-1]), ("in process", running)):
        # A worker may have taken it already.
        await api.cancelled(task_id)
        await api.sleep(2)
        if await api.status_if_any(task_id) == api.solution.cancelled:
            found[f"was cancelled {kind}"] = task_id

    for task_id in others[:-1]:
        await api.cancel(task_id)
    with contextlib.suppress(NotGradedError, UnmetError):
        failed = await failing_task(api)
        await api.until(failed, api.solution.failed)
        found["has failed"] = failed

    if not found:
        raise NotGradedError("no task could be cancelled", cause="cancel_processing")
    return found


async def learns_in_time(
    api: Api, task_id: str, *waits: float, end: Any = None
) -> None:
    """Clients that long-poll again and again, from so many seconds on.

    All learn of the end, completed unless told otherwise, at the end.
    Raises NotGradedError where no long poll of theirs waited.
    """
    if end is None:
        end = api.solution.completed
    known: list[float] = []
    waited: list[bool] = []

    async def client(after: float) -> None:
        await api.sleep(after)
        known.append(await _learns(api, task_id, waited))

    clients = [asyncio.create_task(client(after)) for after in waits]
    await api.until(task_id, end)
    ended = api.now()

    await asyncio.wait(clients, timeout=30)
    for one in clients:
        if one.done():
            one.result()
    expect(
        len(known) == len(waits),
        f"clients that long-poll to learn of the end: {len(waits)}",
        f"{len(known)} did within 30 s",
    )
    late = max(known) - ended
    expect(
        late < 0.6,
        f"each long poll answered at the moment the task is {end}",
        f"one came {late:.1f} s later",
    )
    if not any(waited):
        raise NotGradedError(
            "long polls of a task in process were answered at once",
            cause="wait_ends_at_completion",
        )


async def _learns(api: Api, task_id: str, waited: list[bool]) -> float:
    """Long-poll until the task has ended; when that was known.

    Each answer adds to ``waited`` whether it came later than at once.
    """
    came = -1.0
    status = None
    while True:
        answer = await api.wait(task_id)
        waited.append(not answer.at_once)
        if ran_out(api, answer) and answer.status != 200:
            # How it is answered then is another line's business.
            continue

        came_before = came
        status_before = status
        came = api.now()
        status = api.status_in(answer)
        if api.done(status):
            expect(
                came - came_before > 0.01,
                "an answer that shows the task as it is when it comes",
                f"it showed {status_before!r}, and {status!r} "
                "to who asked again at once",
                needs=("wait_ends_after_ten_seconds",),
            )
            return came

        # It may run out in the very moment of the end.
        if ran_out(api, answer):
            came = -1.0
        # Whoever is answered at once asks again a little later.
        if answer.at_once:
            await api.sleep(0.1)
            came = -1.0


def ran_out(api: Api, poll: Answer) -> bool:
    """Whether a long poll was answered because its time was over."""
    return poll.seconds >= api.solution.wait_timeout - 0.1


# POST /tasks


@endpoint(
    "POST /tasks answers 202 with a task_id and the status queued",
    "notebook 00-tour, taskmanager/api.py",
)
async def submit_answers_202(api: Api) -> None:
    answer = await api.post(api.solution.quick)
    expect(answer.status == 202, "202", str(answer))
    api.id_of(answer)

    body = api.unwrapped(answer.json(), api.solution.status)
    expect(
        body.get(api.solution.status) == api.solution.queued,
        f"the status {api.solution.queued!r} {hint('queued')}",
        f"it was {body!r:.160}",
    )
    expect(
        api.solution.path == "/tasks",
        "202 from POST /tasks itself, without a redirect",
        f"the route is POST {api.solution.path}; "
        "all other lines are about the routes there",
    )


@endpoint(
    "Fields and states have the names that the exercise gives them",
    "README.md",
    open=True,
)
async def names_are_as_given(api: Api) -> None:
    names = (
        "task_id",
        "status",
        "result",
        "error",
        "queued",
    )
    other = [
        f"{name} is called {value!r}"
        for name, value in api.solution.other_names().items()
        if name in names
    ]

    task_id = await api.submit(api.solution.quick)
    answer = await api.request("GET", f"/tasks/{task_id}")
    task = api.task_of(answer)
    outer = answer.json()
    if task != outer:
        inside = ", ".join(
            repr(name) for name, value in outer.items() if isinstance(value, dict)
        )
        other.append(f"they are not at the top of the answer, but inside of {inside}")
    expect(not other, ", ".join(names), "; ".join(other))


@endpoint("POST /tasks answers at once, before the work is done", "notebook 00-tour")
async def submit_does_not_wait(api: Api) -> None:
    answer = await api.post(api.solution.quick)
    expect(answer.accepted, "202", str(answer), needs=("submit_answers_202",))
    api.id_of(answer)
    expect(
        answer.seconds < 0.3,
        "an answer at once",
        f"it came after {answer.seconds:.1f} s",
    )


@endpoint("The id of a task is a UUID", "taskmanager/task.py")
async def ids_are_uuids(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    try:
        uuid.UUID(task_id)
    except ValueError:
        raise UnmetError("a UUID, which nobody can guess", f"it is {task_id}") from None


@endpoint("Each task has an id of its own", "taskmanager/task.py")
async def ids_differ(api: Api) -> None:
    ids = [await api.submit(api.solution.quick) for _ in range(5)]
    expect(len(set(ids)) == 5, "five different ids", f"they were {ids}")

    await api.until_over(*ids, within=31.0 * 5)
    await api.sleep(api.solution.retention)
    ids += [await api.submit(api.solution.quick) for _ in range(3)]

    # The first five are removed, these three are not.
    await api.sleep(125)
    new = [await api.submit(api.solution.quick) for _ in range(5)]
    again = [task_id for task_id in new if task_id in ids]
    expect(
        not again,
        "ids that no task had before, also after old ones were removed",
        f"given again: {', '.join(again)}",
    )


async def all_are_400(api: Api, bodies: list[Any], what: str) -> None:
    wrong = []
    for body in bodies:
        answer = await api.request("POST", "/tasks", body=body)
        if answer.status != 400:
            wrong.append(f"{answer.status} for {body!r}")
            is_refused(answer)
    expect(not wrong, f"400 for each of {len(bodies)} {what}", "; ".join(wrong))


def is_refused(answer: Answer) -> None:
    """Raises NotGradedError where it is not refused for its body."""
    if not answer.status or answer.status in (404, 405):
        raise NotGradedError(str(answer), cause="submit_answers_202")


@endpoint(
    "POST /tasks answers 400 where the body is invalid", "taskmanager/problems.py"
)
async def invalid_is_400(api: Api) -> None:
    await all_are_400(api, api.solution.invalid, "invalid bodies")


@endpoint(
    "POST /tasks answers 400 where the parameters make no sense",
    "taskmanager/task_types.py",
    open=True,
)
async def bad_parameters_are_400(api: Api) -> None:
    sums = api.solution.quick.get("task_type") == "compute_sum"
    if not sums and api.solution.is_default("bad_parameters"):
        raise NotGradedError(
            "no such parameters are named: "
            "see `bad_parameters` in tests/conformance/README.md"
        )
    await all_are_400(
        api, api.solution.bad_parameters, "bodies with parameters that make no sense"
    )


@endpoint(
    "POST /tasks answers 400 where the body is not JSON",
    "taskmanager/problems.py",
    needs=("invalid_is_400",),
)
async def no_json_is_400(api: Api) -> None:
    answer = await api.request("POST", "/tasks", raw=b'{"task_type": ')
    is_refused(answer)
    expect(answer.status == 400, "400 for half a JSON document", str(answer))


# Bodies that are no submission at all, though JSON or nearly so.
ODD_BODIES = (
    b"",
    b"null",
    b"5",
    b'"text"',
    b"\xff\xfe",
    b'{"task_type": []}',
    b'{"task_type": {}}',
    b'{"task_type": null}',
    b'{"task_type": 5, "parameters": 5}',
)


@endpoint(
    "No body crashes POST /tasks, whatever is in it, nor one without a content type",
    "taskmanager/problems.py",
)
async def odd_bodies_are_no_crash(api: Api) -> None:
    await api.submit(api.solution.quick)
    for raw in ODD_BODIES:
        answer = await api.request("POST", "/tasks", raw=raw)
        is_no_crash(answer, f"400 for the body {raw!r}")

    # A known type, with parameters of another kind, or none.
    others: list[Any] = [None, [], "text", 5]
    for parameters in others:
        body = {**api.solution.quick, "parameters": parameters}
        answer = await api.request("POST", "/tasks", body=body)
        is_no_crash(answer, f"400 or 202 for {body}")

    # Some clients forget what it is. It may be taken for JSON, or not.
    for kind in (None, "text/plain", ";"):
        answer = await api.request(
            "POST", "/tasks", body=api.solution.quick, content_type=kind
        )
        what = f"a content type {kind!r}" if kind else "no content type"
        is_no_crash(answer, f"400, 415 or 202 for a valid body with {what}")


def is_no_crash(answer: Answer, wanted: str) -> None:
    """Raises UnmetError where it is a 500, or no answer."""
    crashed = answer.raised or answer.status >= 500 or not answer.status
    expect(not crashed, wanted, str(answer))


@endpoint("An invalid submission leaves no task behind", "taskmanager/manager.py")
async def invalid_leaves_nothing(api: Api) -> None:
    for body in api.solution.invalid:
        answer = await api.request("POST", "/tasks", body=body)
        if not 400 <= answer.status < 500:
            raise NotGradedError(
                f"{body!r} is not refused, but answered {answer.status}",
                cause="invalid_is_400",
            )

    # That the list is empty means something where it shows tasks.
    tasks = await api.everything()
    expect(
        not tasks,
        "no task after invalid submissions alone",
        f"the list has {len(tasks)}",
    )
    await list_shows_some(api)


async def list_shows_some(api: Api) -> None:
    """Raises NotGradedError where no task is in the list.

    Some are in process by then, and one is queued: that the list shows
    both is a requirement of its own.
    """
    count = api.solution.workers + 1
    handed_in = {await api.submit(api.solution.slow) for _ in range(count)}
    listed = {api.id_in(task) for task in await api.everything()}
    if not handed_in & listed:
        raise NotGradedError("no task is in the list", cause="list_has_all")


@endpoint(
    "POST /tasks answers 503 when 100 tasks are queued",
    "notebook 04-backpressure-and-priorities",
)
async def full_is_503(api: Api) -> None:
    size = api.solution.queue_size
    try:
        accepted, refusal = await api.fill(api.solution.slow)
    except NotGradedError as error:
        raise UnmetError(f"503 once {size} tasks are queued", str(error)) from None

    expect(
        refusal.status == 503,
        f"503 for one too many, after {len(accepted)} were accepted",
        str(refusal),
        needs=("submit_does_not_wait",),
    )
    # Before or after all workers have taken one.
    if len(accepted) not in (size, size + api.solution.workers):
        await _fill_up(api, accepted)


async def _fill_up(api: Api, ids: list[str]) -> None:
    """Raises UnmetError where a full queue is too small.

    Tasks in process may take places in it: that is a requirement of its
    own.
    """
    # Whoever is free takes a task; none is over yet.
    await api.sleep(0.5)
    answer = await api.hand_in(api.solution.slow)
    while answer.accepted:
        ids.append(api.id_of(answer))
        answer = await api.hand_in(api.solution.slow)

    size = api.solution.queue_size
    statuses = [await api.status(task_id) for task_id in ids]
    queued = statuses.count(api.solution.queued)
    expect(
        size in (queued, len(ids)),
        f"503 once {size} tasks are queued",
        f"it came once {queued} were, with {len(ids) - queued} in process",
    )


@endpoint(
    "Two hundred submissions at once do not overfill the queue",
    "taskmanager/manager.py: submit",
)
async def burst_does_not_overfill(api: Api) -> None:
    most = api.solution.queue_size + api.solution.workers
    answers = await asyncio.gather(
        *(api.hand_in(api.solution.slow) for _ in range(2 * api.solution.queue_size))
    )
    count = sum(answer.accepted for answer in answers)
    expect(
        count <= most,
        f"at most {most} of {len(answers)} accepted that come at the same moment",
        f"{count} were",
        needs=("full_is_503",),
    )

    others = [
        str(answer)
        for answer in answers
        if not answer.accepted and answer.status != 503 and not answer.waits
    ]
    if others:
        raise NotGradedError(
            f"of {len(answers)} at the same moment, {len(others)} were refused "
            f"for another reason: {others[0]}",
            cause="submit_answers_202",
        )


@endpoint(
    "A task in process takes none of the 100 places in the queue",
    "taskmanager/pending.py",
    open=True,
    needs=("full_is_503",),
)
async def processing_takes_no_place(api: Api) -> None:
    for _ in range(api.solution.workers):
        task_id = await api.submit(api.solution.slow)
        await api.until(task_id, api.solution.processing)

    size = api.solution.queue_size
    accepted, refusal = await api.fill(api.solution.slow)
    statuses = [await api.status(task_id) for task_id in accepted]
    queued = statuses.count(api.solution.queued)
    expect(
        queued == size,
        f"{size} queued while {api.solution.workers} are processed",
        f"{queued} were, and {refusal}",
    )


@endpoint(
    "A submission that the full queue refuses leaves no task behind",
    "taskmanager/manager.py",
)
async def refusal_leaves_nothing(api: Api) -> None:
    accepted, refusal = await api.fill(api.solution.slow)
    if refusal.waits:
        raise NotGradedError(str(refusal), cause="full_is_503")
    for _ in range(3):
        await api.post(api.solution.slow)

    tasks = await api.everything()
    expect(
        len(tasks) == len(accepted),
        f"{len(accepted)} tasks in the list",
        f"there are {len(tasks)}",
        needs=("list_has_all",),
    )


@endpoint(
    "A full queue accepts again as soon as a task has left it",
    "notebook 04-backpressure-and-priorities",
)
async def full_recovers(api: Api) -> None:
    accepted, _ = await api.fill(api.solution.slow)
    await api.until(accepted[0], api.solution.completed)
    await api.sleep(1)

    answer = await api.hand_in(api.solution.slow)
    expect(answer.accepted, "202 once a task has been completed", str(answer))


# GET /tasks/{task_id}


@endpoint(
    "GET /tasks/{task_id} shows status, result and error",
    "notebook 00-tour",
    needs=("failure_is_shown",),
)
async def get_shows_fields(api: Api) -> None:
    fields: dict[str, Any] = {}
    # A field may be left out while there is nothing to show.
    for body in (api.solution.quick, api.solution.failing):
        if body is None:
            continue
        answer = await api.post(body)
        if answer.accepted:
            task_id = api.id_of(answer)
            # That it ends, and can still be read, are other lines'
            # business.
            with contextlib.suppress(UnmetError):
                fields |= await api.get(task_id)
                await api.until_over(task_id, within=120)
                fields |= await api.get(task_id)

    wanted = (api.solution.status, api.solution.result_field, api.solution.error)
    missing = [name for name in wanted if name not in fields]
    expect(
        not missing,
        f"the fields {', '.join(wanted)} {hint('result_field, error')}",
        f"missing: {', '.join(missing)}; there are {', '.join(map(str, fields))}",
        needs=("submit_answers_202", "works_unasked"),
    )


@endpoint(
    "GET /tasks/{task_id} answers at once, with ?wait=false as well",
    "notebook 05-polling",
)
async def get_does_not_wait(api: Api) -> None:
    task_id = await processing_for(api, 1)
    queries: list[dict[str, Any]] = [{}, {"wait": "false"}]
    for query in queries:
        answer = await api.request("GET", f"/tasks/{task_id}", **query)
        api.task_of(answer)
        expect(
            answer.seconds < 0.3,
            f"an answer to {answer.asked} at once",
            f"it came after {answer.seconds:.1f} s",
        )


@endpoint(
    "A completed task shows its result, and no error", "taskmanager/task_types.py"
)
async def completed_shows_result(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    task = await api.get(task_id)

    name = api.solution.result_field
    expect(
        name in task,
        f"a field {name!r} of a completed task {hint('result_field')}",
        f"there are {', '.join(map(str, task))}",
        needs=("get_shows_fields",),
    )
    result = task[name]
    value = api.solution.result
    happened = f"it was {result!r:.100}"
    if value is None:
        expect(result is not None, "a result", happened)
    else:
        wanted = f"a result with {value!r} {hint('result')}"
        expect(holds(result, value), wanted, happened)

    error = task.get(api.solution.error)
    expect(not error, "no error", f"it was {error!r:.100}")


@endpoint("A task shows no result before it is completed", "taskmanager/task.py")
async def no_early_result(api: Api) -> None:
    running = await processing_for(api, 1)
    for _ in range(api.solution.workers):
        queued = await api.submit(api.solution.quick)
    await api.cancel(queued)
    for task_id in (running, queued):
        task = await api.get(task_id)
        result = task.get(api.solution.result_field)
        expect(
            result in (None, "", {}, []),
            f"no result while it is {task.get(api.solution.status)}",
            f"it was {result!r:.100}",
        )


@endpoint(
    "GET /tasks/{task_id} answers 404 where there is no such task, "
    "with ?wait=true as well",
    "taskmanager/manager.py",
)
async def unknown_is_404(api: Api) -> None:
    unknown = api.unlike(await api.submit(api.solution.quick))
    answer = await api.request("GET", f"/tasks/{unknown}")
    expect(answer.status == 404, "404", str(answer))

    polled = await api.wait(unknown)
    expect(polled.status == 404, "404 for a long poll, too", str(polled))
    expect(
        polled.seconds < 1,
        "a long poll of no task answered at once",
        f"it took {polled.seconds:.1f} s",
    )


# What no id looks like, whatever kind of ids there are.
MALFORMED = (
    "abc",
    "0",
    "-1",
    "1.5",
    "9" * 30,
    "00000000-0000-4000-8000-00000000000g",
    "00000000",
    "{}",
    "ü",
    "x" * 300,
)


@endpoint(
    "An id that is none, such as abc, is no crash: 404 or 400, not 500",
    "taskmanager/problems.py",
)
async def malformed_id_is_no_crash(api: Api) -> None:
    await api.get(await api.submit(api.solution.quick))
    for text in MALFORMED:
        path = f"/tasks/{text}"
        answers = [
            await api.request("GET", path),
            await api.wait(text),
            await api.cancel(text),
        ]
        for answer in answers:
            is_no_crash(answer, "404 or 400 for what is no id")


# GET /tasks/{task_id}?wait=true


@endpoint(
    "A long poll is answered at the moment the task is completed, and not before",
    "notebook 05-polling",
    needs=("wait_ends_after_ten_seconds",),
)
async def wait_ends_at_completion(api: Api) -> None:
    task_id = await processing_for(api, 0)
    await api.sleep(1)

    # Progress may be news, but not three times at one moment.
    at_once = 0
    while at_once < 3:
        answer = await api.wait(task_id)
        if not answer.at_once:
            break
        at_once += 1

    expect(
        at_once < 3 or api.done(api.status_in(answer)),
        "a long poll of a task in process to wait for news",
        f"{at_once} in a row were answered at once, with {answer.text:.160}",
    )
    await learns_in_time(api, await processing_for(api, 0), 1.0)


@endpoint(
    "A long poll without news is answered after 10 s, with the task as it is then",
    "notebook 05-polling",
)
async def wait_ends_after_ten_seconds(api: Api) -> None:
    timeout = api.solution.wait_timeout
    queued = await queued_task(api)

    answer = await asyncio.wait_for(api.wait(queued), 120)
    expect(answer.status == 200, "200", str(answer))
    expect(
        timeout - 0.5 <= answer.seconds <= timeout + 0.5,
        f"an answer after {timeout} s",
        f"it came after {answer.seconds:.1f} s",
    )
    status = api.status_in(answer)
    expect(
        status == api.solution.queued,
        "the task, still queued",
        f"its status was {status!r}",
    )


@endpoint(
    "A long poll is not answered by what happens to another task",
    "notebook 05-polling",
    needs=("wait_ends_after_ten_seconds", "wait_holds_up_nobody"),
)
async def wait_is_for_its_own_task(api: Api) -> None:
    task_id = await queued_task(api)
    poll = await api.held_poll(task_id, 1)

    # One that comes after it, so that its place stays what it is.
    other = await api.submit(api.solution.slow)
    await api.cancelled(other)
    await api.sleep(0.5)
    expect(
        not poll.done(),
        "a long poll that goes on, when another task is cancelled",
        "it was answered",
    )
    poll.cancel()


async def queued_task(api: Api) -> str:
    """A task that stays queued: four rounds of others go first."""
    for _ in range(4 * api.solution.workers):
        await api.submit(api.solution.slow)
    return await api.submit(api.solution.slow)


@endpoint(
    "No long poll takes longer than 10 s, also while the task is in process "
    "or begins to be",
    "notebook 05-polling",
    needs=("wait_ends_after_ten_seconds",),
)
async def wait_never_exceeds_ten_seconds(api: Api) -> None:
    quick = await api.submit(api.solution.quick)
    seconds = await api.until(quick, api.solution.completed)

    for _ in range(api.solution.workers):
        await api.submit(api.solution.quick)
    late = await api.submit(api.solution.slow)
    await api.sleep(max(0.0, seconds - 3))
    took = await poll_takes(api, late, "began while it was polled")

    running = await processing_for(api, 0.5)
    took = max(took, await poll_takes(api, running, "was in process"))
    if took < 0.05:
        raise NotGradedError(
            "long polls of tasks in process were answered at once",
            cause="wait_ends_at_completion",
        )

    timeout = api.solution.wait_timeout
    if took < timeout - 0.5 and api.done(await api.status(running)):
        raise NotGradedError(f"the slow task was over before {timeout} s; {api.longer}")


async def poll_takes(api: Api, task_id: str, what: str) -> float:
    """How many seconds a long poll of the task takes."""
    timeout = api.solution.wait_timeout
    begun = api.now()
    poll = asyncio.create_task(api.wait(task_id))
    await asyncio.wait({poll}, timeout=60)

    seconds = api.now() - begun
    expect(
        seconds <= timeout + 0.5,
        f"a long poll of a task that {what} answered within {timeout} s",
        f"it came after {seconds:.1f} s",
    )
    answer = poll.result()
    if not ran_out(api, answer):
        api.task_of(answer)
    return seconds


@endpoint(
    "A long poll of a completed task is answered at once",
    "taskmanager/task.py: changed_since",
)
async def wait_on_finished_is_immediate(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    await waits_no_more(api, task_id, "has completed")


@endpoint(
    "A long poll of a failed or cancelled task is answered at once",
    "taskmanager/task.py: changed_since",
    needs=("wait_on_finished_is_immediate", "cancel_queued"),
)
async def wait_on_other_ends_is_immediate(api: Api) -> None:
    for how, task_id in (await ended_tasks(api)).items():
        await waits_no_more(api, task_id, how)


async def waits_no_more(api: Api, task_id: str, how: str) -> None:
    before = await api.status(task_id)
    for nth in ("first", "second"):
        answer = await asyncio.wait_for(api.wait(task_id), 120)
        expect(
            answer.seconds < 1,
            f"the {nth} long poll of a task that {how} answered at once",
            f"it took {answer.seconds:.1f} s",
        )
        status = api.status_in(answer)
        expect(
            status == before,
            f"the status {before!r} from the {nth} long poll of a task that {how}",
            f"it was {status!r}",
        )


@endpoint(
    "A long poll is answered at the moment the task fails",
    "notebook 08-cancellation-and-failure",
    needs=("failure_is_shown", "wait_ends_at_completion", "every_waiter_wakes"),
)
async def wait_ends_at_failure(api: Api) -> None:
    task_id = await failing_task(api)
    await learns_in_time(api, task_id, 0.0, 0.0, end=api.solution.failed)


@endpoint(
    "All long polls of one task are answered when it is completed",
    "notebook 05-polling, on lost wake-ups",
    needs=("wait_ends_at_completion",),
)
async def every_waiter_wakes(api: Api) -> None:
    await learns_in_time(api, await processing_for(api, 0), 0.0, 0.0, 1.0, 2.0, 3.0)


@endpoint(
    "A long poll is not disturbed by another client that hangs up",
    "notebook 05-polling, on lost wake-ups",
    needs=("wait_ends_at_completion", "every_waiter_wakes"),
)
async def waiters_do_not_disturb_each_other(api: Api) -> None:
    task_id = await processing_for(api, 0)
    others = [
        asyncio.create_task(api.wait(task_id, hang_up=seconds))
        for seconds in (1.0, 3.0)
    ]
    await learns_in_time(api, task_id, 0.5, 2.0)
    await asyncio.gather(*others)


@endpoint("A long poll does not hold up other clients", "notebook 05-polling")
async def wait_holds_up_nobody(api: Api) -> None:
    # One that is queued has no news, where progress would be some.
    task_id = await queued_task(api)
    poll = await api.held_poll(task_id, 1)

    answers = [
        await api.request("GET", f"/tasks/{task_id}"),
        await api.post(api.solution.quick),
    ]
    for answer in answers:
        expect(
            answer.seconds < 0.3,
            "others answered at once while one client waits",
            f"{answer.asked} was answered after {answer.seconds:.1f} s",
        )
    poll.cancel()


@endpoint(
    "A long poll of a queued task is answered when its status changes",
    "notebook 05-polling",
    open=True,
    needs=(
        "wait_ends_after_ten_seconds",
        "wait_never_exceeds_ten_seconds",
        "wait_holds_up_nobody",
    ),
)
async def wait_ends_at_any_change(api: Api) -> None:
    queued = api.solution.queued
    for _ in range(api.solution.workers):
        await api.submit(api.solution.quick)
    task_id = await api.submit(api.solution.slow)
    if await api.status(task_id) != queued:
        raise NotGradedError("the task had not to wait", cause="never_more_than_five")

    answered: list[float] = []

    async def polls() -> None:
        status = queued
        while status == queued:
            answer = await api.wait(task_id)
            expect(not answer.at_once, "a long poll to wait for news", str(answer))
            answered.append(api.now())
            status = api.status_in(answer)

    polling = asyncio.create_task(polls())
    begun = api.now()
    while await api.status(task_id) == queued:
        expect(
            api.now() - begun < 120,
            "a queued task to be begun within 120 s",
            "it is still queued",
            needs=("works_unasked",),
        )
        await api.pause(begun)

    started = api.now()
    await asyncio.wait({polling}, timeout=1)
    if polling.done():
        polling.result()
    # What it shows is another line's business.
    expect(
        any(at > started - 0.2 for at in answered),
        "an answer when a worker takes the task",
        "it had not come 1 s later",
    )


@endpoint(
    "A long poll sleeps on an event, and does not look again and again",
    "notebook 05-polling, on busy polling",
)
async def wait_is_not_busy(api: Api) -> None:
    task_id = await queued_task(api)
    await api.sleep(0.25)

    async def wakes_in(seconds: float) -> int:
        before: int = api.loop.wakes
        await api.sleep(seconds)
        return api.loop.wakes - before

    alone = await wakes_in(2)
    spun = api.loop.spun
    polls = [asyncio.create_task(api.wait(task_id)) for _ in range(3)]
    more = await wakes_in(2) - alone
    for poll in polls:
        api.has_waited(poll)
        poll.cancel()

    expect(
        api.loop.spun == spun,
        "an event loop that sleeps while clients wait",
        "it waits busily: something is always ready",
    )
    expect(
        more <= 6,
        "no timers of a long poll's own, but for its time-out",
        f"three of them woke {more} times in 2 s",
    )


# GET /tasks


@endpoint(
    "GET /tasks lists all tasks",
    "notebook 10-streaming",
    needs=("answers_are_json",),
)
async def list_has_all(api: Api) -> None:
    ids = [await api.submit(api.solution.slow) for _ in range(7)]
    listed = [api.id_in(task) for task in await api.list_tasks()]
    expect(
        sorted(listed) == sorted(ids),
        "the seven tasks, each once",
        f"there were {len(listed)}: {listed}",
    )


@endpoint("GET /tasks?status= lists the tasks in that status", "taskmanager/store.py")
async def list_by_status(api: Api) -> None:
    count = api.solution.workers + 3
    ids = [await api.submit(api.solution.slow) for _ in range(count)]
    # Not at a moment at which tasks end and begin.
    await api.sleep(1.37)
    statuses = [await api.status(task_id) for task_id in ids]

    for status in (
        api.solution.processing,
        api.solution.queued,
        api.solution.completed,
    ):
        tasks = await api.list_tasks(status=status)
        listed = [task.get(api.solution.status) for task in tasks]
        count = statuses.count(status)
        expect(
            listed == [status] * count,
            f"{count} tasks for ?status={status}",
            f"their statuses were {listed}",
            needs=("list_has_all",),
        )

    if api.solution.processing not in statuses:
        raise NotGradedError("no task was in process", cause="works_unasked")


@endpoint(
    "GET /tasks?status= lists completed, failed and cancelled tasks, too",
    "taskmanager/store.py",
    needs=("list_by_status",),
)
async def list_by_final_status(api: Api) -> None:
    # First, since a worker may be lost when its task is cancelled: that
    # is another line's business.
    completed = await api.submit(api.solution.quick)
    await api.until(completed, api.solution.completed)
    ended = {"has completed": completed, **await ended_tasks(api)}

    # By status, the ids of those that have it.
    wanted: dict[Any, list[str]] = {}
    for task_id in ended.values():
        wanted.setdefault(await api.status(task_id), []).append(task_id)

    for status, ids in wanted.items():
        listed = await api.list_tasks(status=status)
        others = {task.get(api.solution.status) for task in listed} - {status}
        missing = set(ids) - {api.id_in(task) for task in listed}
        expect(
            not others and not missing,
            f"the tasks that are {status}, and no others, for ?status={status}",
            f"{len(listed)} were listed: {len(missing)} of {len(ids)} were missing, "
            f"and others were {sorted(map(str, others)) or 'not there'}",
        )


@endpoint(
    "GET /tasks lists tasks as they were submitted, and with a limit the first",
    "taskmanager/store.py",
    open=True,
    needs=("list_has_all", "list_with_limit"),
)
async def list_keeps_the_order(api: Api) -> None:
    ids = []
    for _ in range(api.solution.workers + 3):
        ids.append(await api.submit(api.solution.slow))
        await api.sleep(0.01)

    for query, wanted in (({}, ids), ({"limit": 3}, ids[:3])):
        listed = [api.id_in(task) for task in await api.list_tasks(**query)]
        places = [str(ids.index(each) + 1) for each in listed if each in ids]
        expect(
            listed == wanted,
            f"the tasks 1 to {len(wanted)} in their order, for the query {query}",
            f"they came as {', '.join(places)}",
        )


@endpoint("GET /tasks?limit= lists no more than so many", "taskmanager/api.py")
async def list_with_limit(api: Api) -> None:
    for _ in range(api.solution.workers + 4):
        await api.submit(api.solution.slow)
    # Not at a moment at which tasks end and begin.
    await api.sleep(1.37)
    query = await api.readable(api.solution.queued)
    listed = await api.list_tasks(limit=3, **query)
    expect(
        len(listed) == 3,
        "three tasks for ?limit=3",
        f"there were {len(listed)}",
        needs=("list_has_all",),
    )

    tasks = await api.everything()
    statuses: list[Any] = [task.get(api.solution.status) for task in tasks]
    for status in (api.solution.processing, api.solution.queued):
        count = statuses.count(status)
        if count > 1:
            listed = await api.list_tasks(status=status, limit=2)
            expect(
                len(listed) == 2,
                f"two of the {count} tasks for ?status={status}&limit=2",
                f"there were {len(listed)}",
                needs=("list_by_status",),
            )


@endpoint(
    "GET /tasks?limit=0 lists nothing, or is refused",
    "taskmanager/problems.py",
    needs=("list_with_limit",),
)
async def limit_of_zero_lists_nothing(api: Api) -> None:
    for _ in range(api.solution.workers + 3):
        await api.submit(api.solution.slow)
    # Otherwise an empty list would say nothing.
    query = await api.readable(api.solution.queued)
    expect(
        await api.list_tasks(**query),
        "tasks in the list without a limit",
        "there was none",
        needs=("list_has_all",),
    )

    answer = await api.request("GET", "/tasks", limit=0, **query)
    if 400 <= answer.status < 500:
        return
    listed = api.tasks_in(answer)
    expect(not listed, "no task for ?limit=0, or 400", f"there were {len(listed)}")


@endpoint(
    "GET /tasks answers 400 for a status or a limit that makes no sense",
    "taskmanager/problems.py",
    open=True,
    needs=("list_has_all", "no_json_is_400"),
)
async def bad_query_is_400(api: Api) -> None:
    for query in ({"status": "no-such-status"}, {"limit": "many"}, {"limit": -1}):
        answer = await api.request("GET", "/tasks", **query)
        expect(answer.status == 400, f"400 for {answer.asked}", str(answer))


@endpoint("GET /tasks is streamed, in pieces", "notebook 10-streaming")
async def list_is_streamed(api: Api) -> None:
    await api.many()
    query = await api.readable(api.solution.completed)
    answer = await api.request("GET", "/tasks", **query)
    count = len(api.tasks_in(answer))
    expect(
        count > 9,
        "a list of the 60 tasks that were accepted",
        f"it has {count}",
        needs=("list_has_all",),
    )
    expect(
        answer.pieces > 1, f"{count} tasks in more than one piece", "all came in one"
    )


@endpoint(
    "The list stays well-formed while a task comes during it", "notebook 10-streaming"
)
async def list_survives_changes(api: Api) -> None:
    await api.many()
    query = await api.readable(api.solution.completed)
    listing = asyncio.create_task(api.request("GET", "/tasks", **query))
    for _ in range(12):
        await asyncio.sleep(0)
        await api.post(api.solution.quick)

    answer = await listing
    expect(
        not answer.raised and answer.status == 200,
        "a whole list",
        str(answer),
        needs=("list_has_all",),
    )
    ids = [api.id_in(task) for task in api.tasks_in(answer)]
    twice = len(ids) - len(set(ids))
    expect(not twice, "each task once", f"{twice} came twice")


@endpoint(
    "A client that reads the list slowly holds up nobody",
    "notebook 10-streaming",
    needs=("wait_holds_up_nobody",),
)
async def slow_reader_holds_up_nobody(api: Api) -> None:
    ids = [await api.submit(api.solution.slow) for _ in range(12)]
    query = await api.readable(api.solution.queued)
    reads_on = asyncio.Event()
    listing = asyncio.create_task(
        api.request("GET", "/tasks", reads_on=reads_on, **query)
    )
    await api.sleep(1)

    one = f"/tasks/{ids[-1]}"
    for method, path, body in (
        ("POST", "/tasks", api.solution.quick),
        ("GET", one, None),
        ("GET", "/tasks", None),
        ("DELETE", one, None),
    ):
        other = asyncio.create_task(api.request(method, path, body=body))
        await asyncio.wait({other}, timeout=1)
        expect(
            other.done(),
            f"{method} {path} answered at once "
            "while another client reads the list slowly",
            "it was not answered before the list had been read",
        )

    # Nor the workers.
    await api.sleep(31)
    status = await api.status(ids[0])
    expect(
        status != api.solution.processing,
        "a task completed while a client reads the list slowly",
        f"31 s later it was still {status!r}",
        needs=("works_unasked",),
    )

    if listing.done():
        raise NotGradedError(
            f"there is no list: {listing.result()}", cause="list_has_all"
        )
    reads_on.set()
    api.tasks_in(await listing)


# DELETE /tasks/{task_id}


@endpoint(
    "DELETE cancels a queued task, which then never runs",
    "notebook 08-cancellation-and-failure",
)
async def cancel_queued(api: Api) -> None:
    others = [await api.submit(api.solution.quick) for _ in range(api.solution.workers)]
    task_id = await api.submit(api.solution.quick)
    answer = await api.cancel(task_id)
    expect(answer.status in SUCCESS, "success", str(answer))

    for _ in range(30):
        status = await api.status(task_id)
        expect(
            status == api.solution.cancelled,
            f"{api.solution.cancelled!r} from then on",
            f"its status was {status!r}",
        )
        await api.sleep(1)

    # Otherwise it had no chance to run.
    ran = [api.done(await api.status(other)) for other in others]
    if not any(ran):
        raise NotGradedError("none of the others ran either", cause="works_unasked")


@endpoint("DELETE cancels a task in process", "notebook 08-cancellation-and-failure")
async def cancel_processing(api: Api) -> None:
    task_id = await processing_for(api, 2)
    answer = await api.cancel(task_id)
    expect(answer.status in SUCCESS, "success", str(answer))

    # Some look only between two steps of the work.
    await api.sleep(2)
    status = await api.status(task_id)
    expect(
        status == api.solution.cancelled,
        f"{api.solution.cancelled!r} within 2 s",
        f"its status was {status!r}",
    )


@endpoint(
    "A cancelled task stays cancelled, and has no result, "
    "when its work would have ended",
    "notebook 02-task-lifecycle",
    needs=("cancel_processing",),
)
async def cancelled_stays_cancelled(api: Api) -> None:
    ids = {"end": await processing_for(api, 2)}
    await api.cancelled(ids["end"])
    # And one that would have failed.
    with contextlib.suppress(NotGradedError):
        ids["fail"] = await failing_task(api)
        await api.sleep(1)
        await api.cancelled(ids["fail"])
    await api.sleep(60)

    for what, task_id in ids.items():
        task = await api.get(task_id)
        status = task.get(api.solution.status)
        expect(
            status == api.solution.cancelled,
            f"{api.solution.cancelled!r} a minute later, when it was to {what}",
            f"its status was {status!r}",
        )
        result = task.get(api.solution.result_field)
        expect(
            not result,
            "no result",
            f"it was {result!r:.100}",
            needs=("no_early_result",),
        )


@endpoint(
    "Cancelling a queued task frees its place in the queue at once",
    "notebook 04-backpressure-and-priorities",
    needs=("cancel_queued", "refusal_leaves_nothing", "full_recovers"),
)
async def cancel_frees_place(api: Api) -> None:
    accepted, _ = await api.fill(api.solution.slow)
    await api.cancelled(accepted[-1])
    answer = await api.hand_in(api.solution.slow)
    expect(answer.accepted, "202 for a new task in its place", str(answer))


@endpoint(
    "Each task that is cancelled frees one place, and no more",
    "notebook 04-backpressure-and-priorities",
    needs=("works_unasked", "full_recovers"),
)
async def cancel_frees_one_place(api: Api) -> None:
    running = [await api.submit(api.solution.slow) for _ in range(api.solution.workers)]
    await api.sleep(1)
    queued, _ = await api.fill(api.solution.slow)
    most = max(api.solution.queue_size, len(queued))

    # Those that are queued first, while all workers are busy: otherwise
    # a worker would take them before. Some twice.
    many = len(queued) // 5
    for task_id in (
        *queued[:many],
        *queued[-3:],
        *queued[-3:],
        *running[:3],
        *running[:3],
    ):
        await api.cancel(task_id)

    # And once more when the workers have come to where the first of
    # them were.
    for seconds in (1, 90):
        await api.sleep(seconds)
        more, _ = await api.fill(api.solution.slow)
        queued += more
        statuses = [await api.status_if_any(task_id) for task_id in queued]
        count = statuses.count(api.solution.queued)
        expect(
            count <= most,
            f"at most {most} queued, after {many + 6} were cancelled "
            "and others had come in their place",
            f"{count} were",
        )


@endpoint(
    "Cancelling a task in process frees its worker at once",
    "notebook 03-queue-and-workers",
    needs=(
        "cancelled_stays_cancelled",
        "nothing_is_lost",
        "five_in_parallel",
        "no_head_of_line_blocking",
    ),
)
async def cancel_frees_worker(api: Api) -> None:
    # However many there are: that is another line's business.
    ids = [await api.submit(api.solution.slow) for _ in range(3 * api.solution.workers)]
    await api.sleep(1.5)
    running = await of_status(api, ids, api.solution.processing)
    queued = await of_status(api, ids, api.solution.queued)
    if not running:
        raise NotGradedError("no task was in process", cause="works_unasked")

    *others, last = running
    await api.cancelled(last)
    if not queued:
        raise NotGradedError("no task had to wait", cause="never_more_than_five")

    await api.sleep(1)
    if others != await of_status(api, others, api.solution.processing):
        raise NotGradedError(f"the slow tasks were over too soon; {api.longer}")
    expect(
        queued != await of_status(api, queued, api.solution.queued),
        "the next task in process within a second",
        f"{len(others)} are in process, and {len(queued)} still queued",
    )


async def of_status(api: Api, ids: list[str], status: str) -> list[str]:
    """Those of the tasks that are in this status."""
    return [task_id for task_id in ids if await api.status(task_id) == status]


@endpoint(
    "A DELETE at any moment leaves all workers at work",
    "notebook 08-cancellation-and-failure",
    needs=("cancel_frees_worker",),
)
async def cancel_at_any_moment(api: Api) -> None:
    before = await workers_before(api)
    # Around the moment at which a worker takes the task.
    for turns in range(16):
        task_id = await api.submit(api.solution.slow)
        for _ in range(turns):
            await asyncio.sleep(0)
        await api.cancelled(task_id)

    await workers_are_left(api, before, "16 others were cancelled as they began")


@endpoint(
    "A long poll is answered when its task is cancelled",
    "notebook 05-polling",
    needs=("wait_holds_up_nobody",),
)
async def cancel_wakes_waiters(api: Api) -> None:
    count = api.solution.workers + 1
    running, *_, queued = [await api.submit(api.solution.slow) for _ in range(count)]
    await api.until(running, api.solution.processing)
    for task_id, kind in ((queued, "queued"), (running, "processing")):
        poll = asyncio.create_task(api.wait(task_id))
        await api.sleep(1)
        if kind == "queued":
            api.has_waited(poll)
        elif poll.done():
            # It was answered before, by progress say.
            break

        await api.cancelled(task_id)
        answer = await poll
        expect(
            answer.seconds < 2.5,
            f"an answer when the {kind} task is cancelled, after 1 s",
            f"it came after {answer.seconds:.1f} s",
        )


@endpoint("DELETE answers 404 where there is no such task", "taskmanager/manager.py")
async def cancel_unknown_is_404(api: Api) -> None:
    unknown = api.unlike(await api.submit(api.solution.quick))
    answer = await api.cancel(unknown)
    expect(answer.status == 404, "404", str(answer))


@endpoint("DELETE of a completed task changes nothing", "notebook 02-task-lifecycle")
async def cancel_finished_changes_nothing(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    await is_left_by_delete(api, task_id, "has completed")


@endpoint(
    "DELETE of a failed or cancelled task changes nothing",
    "notebook 02-task-lifecycle",
    needs=("cancel_finished_changes_nothing", "cancel_queued"),
)
async def cancel_ended_changes_nothing(api: Api) -> None:
    for how, task_id in (await ended_tasks(api)).items():
        await is_left_by_delete(api, task_id, how)


async def is_left_by_delete(api: Api, task_id: str, how: str) -> None:
    """Raises UnmetError where a DELETE changes what a task shows.

    Raises NotGradedError where it removes the task.
    """
    before = await api.get(task_id)
    answer = await api.cancel(task_id)
    if answer.status in SUCCESS:
        gone = await api.request("GET", f"/tasks/{task_id}")
        if gone.status == 404:
            raise NotGradedError(
                "DELETE removes a finished task, which the exercise leaves open"
            )

    is_no_crash(answer, f"an answer such as 409 to the DELETE of a task that {how}")
    after = await api.get(task_id)
    for name in (
        api.solution.status,
        api.solution.result_field,
        api.solution.error,
    ):
        expect(
            after.get(name) == before.get(name),
            f"the {name} of a task that {how} as it was before a DELETE: "
            f"{before.get(name)!r:.100}",
            f"it became {after.get(name)!r:.100}",
        )


@endpoint(
    "DELETE of a completed task says that it cannot be cancelled: 409",
    "taskmanager/errors.py",
    open=True,
)
async def cancel_finished_is_refused(api: Api) -> None:
    task_id = await api.submit(api.solution.quick)
    await api.until(task_id, api.solution.completed)
    answer = await api.cancel(task_id)
    expect(answer.status == 409, "409 for a task that there is", str(answer))
