"""Steps: in which order one would build a solution.

Each line of the card belongs to one of them, and the card says which
comes next.

Rule: a step is done when none of its lines failed, and all that could
be graded were. What is next is the first that has a failed line.
"""

from typing import NamedTuple

from tests.conformance.requirement import Requirement, Verdict, load_all


class Step(NamedTuple):
    """Something to build, and the lines that show it."""

    text: str
    lines: list[str]


STEPS = [
    Step(
        "POST /tasks takes a task: 202, a task_id, the status queued",
        [
            "uses_fastapi",
            "submit_answers_202",
            "submit_does_not_wait",
            "ids_are_uuids",
        ],
    ),
    Step(
        "GET /tasks/{task_id} shows it, or answers 404",
        [
            "get_does_not_wait",
            "unknown_is_404",
        ],
    ),
    Step(
        "a worker takes tasks from an asyncio.Queue and completes them",
        [
            "uses_queue",
            "uses_create_task",
            "works_unasked",
            "uses_sleep",
            "nothing_blocks",
            "work_takes_its_time",
            "uses_match",
            "completed_shows_result",
            "no_early_result",
            "get_shows_fields",
            "names_are_as_given",
            "ids_differ",
            "rests_when_idle",
        ],
    ),
    Step(
        "five workers, with asyncio.gather",
        [
            "uses_gather",
            "five_in_parallel",
            "never_more_than_five",
            "no_head_of_line_blocking",
            "nothing_is_lost",
        ],
    ),
    Step(
        "what fails is shown as failed, with its error",
        [
            "has_custom_exceptions",
            "classifies_with_match",
            "failure_is_shown",
            "workers_survive_failures",
            "workers_survive_unexpected_errors",
            "unexpected_error_is_not_shown",
        ],
    ),
    Step(
        "400 for what is invalid",
        [
            "invalid_is_400",
            "no_json_is_400",
            "bad_parameters_are_400",
            "odd_bodies_are_no_crash",
            "odd_values_are_no_crash",
        ],
    ),
    Step(
        "GET /tasks lists them, with ?status= and ?limit=",
        [
            "list_has_all",
            "invalid_leaves_nothing",
            "list_by_status",
            "list_with_limit",
            "list_keeps_the_order",
            "limit_of_zero_lists_nothing",
            "bad_query_is_400",
            "answers_are_json",
        ],
    ),
    Step(
        "the list is streamed by an async generator",
        [
            "uses_async_generator",
            "list_is_streamed",
            "list_survives_changes",
            "slow_reader_holds_up_nobody",
        ],
    ),
    Step(
        "DELETE /tasks/{task_id} cancels, through asyncio.CancelledError",
        [
            "cancel_queued",
            "handles_cancelled_error",
            "cancel_processing",
            "cancelled_stays_cancelled",
            "cancelled_work_ends",
            "cancel_frees_worker",
            "cancel_at_any_moment",
            "cancel_lets_no_sixth_in",
            "cancel_unknown_is_404",
            "cancel_finished_changes_nothing",
            "cancel_finished_is_refused",
            "cancel_ended_changes_nothing",
            "malformed_id_is_no_crash",
            "list_by_final_status",
        ],
    ),
    Step(
        "?wait=true waits for up to ten seconds, on an asyncio.Event",
        [
            "uses_event",
            "wait_ends_at_completion",
            "wait_ends_after_ten_seconds",
            "wait_never_exceeds_ten_seconds",
            "wait_on_finished_is_immediate",
            "wait_on_other_ends_is_immediate",
            "wait_ends_at_failure",
            "every_waiter_wakes",
            "waiters_do_not_disturb_each_other",
            "wait_is_for_its_own_task",
            "wait_holds_up_nobody",
            "wait_ends_at_any_change",
            "wait_is_not_busy",
            "cancel_wakes_waiters",
        ],
    ),
    Step(
        "503 once 100 tasks are queued",
        [
            "full_is_503",
            "burst_does_not_overfill",
            "processing_takes_no_place",
            "refusal_leaves_nothing",
            "full_recovers",
            "cancel_frees_place",
            "cancel_frees_one_place",
        ],
    ),
    Step(
        "429 after ten requests a minute from one address",
        [
            "uses_deque",
            "uses_lock",
            "eleventh_is_429",
            "burst_is_limited",
            "limit_is_per_address",
            "limit_covers_all_routes",
            "window_slides",
            "window_is_a_log",
            "limit_lasts_a_minute",
            "limit_ends",
            "refusals_do_not_count",
            "header_is_not_trusted",
            "limit_comes_before_the_body",
        ],
    ),
    Step(
        "a timer task removes what has been finished for ten minutes",
        [
            "removed_after_ten_minutes",
            "kept_for_ten_minutes",
            "removal_is_punctual",
            "removal_knows_no_zone",
            "failed_is_removed",
            "cancelled_is_removed",
            "unfinished_is_not_removed",
            "store_forgets",
            "limiter_forgets",
        ],
    ),
    Step(
        "progress",
        [
            "progress_is_shown",
            "progress_ends_at_100",
        ],
    ),
    Step(
        "priorities",
        [
            "high_goes_first",
            "equal_priorities_keep_their_order",
            "default_priority_is_between",
            "cancel_leaves_the_order",
            "odd_priority_is_no_crash",
            "unknown_priority_is_400",
        ],
    ),
    Step(
        "errors are detailed JSON",
        [
            "client_errors_are_json",
            "too_many_is_json",
            "full_is_json",
        ],
    ),
    Step(
        "logging, and a stop within seconds",
        [
            "uses_logging",
            "tasks_are_logged",
            "stops_with_work_under_way",
            "stops_after_cancellations",
            "nothing_runs_after_the_stop",
        ],
    ),
    Step(
        "type hints, tests, a README, and the documentation",
        [
            "no_database",
            "no_external_queue",
            "api_is_documented",
            "has_type_hints",
            "lines_are_short",
            "has_tests",
            "has_readme",
        ],
    ),
]


Graded = list[tuple[Requirement, Verdict]]


class Built(NamedTuple):
    """How far a solution has come."""

    # So many steps are done, of so many.
    done: int
    total: int
    # What to do next, as a sentence; empty when all is done.
    next: str


def step_of() -> dict[str, Step]:
    """The step of each line, by the line's name.

    A line that no step names goes with the one before it on the card.
    """
    named = {line: step for step in STEPS for line in step.lines}
    found = {}
    step = STEPS[0]
    for requirement in load_all():
        step = named.get(requirement.name, step)
        found[requirement.name] = step
    return found


def built(graded: Graded) -> Built | None:
    """How far it is built, as this card shows it.

    None where the card has less than half of the lines: then they were
    chosen.
    """
    known = step_of()
    first, *_ = STEPS
    for requirement, _ in graded:
        if requirement.name not in known:
            # The preflight: the card says what happened.
            return Built(0, len(STEPS), f"{first.text}.")
    if 2 * len(graded) < len(known):
        return None

    members: dict[str, Graded] = {step.text: [] for step in STEPS}
    for requirement, verdict in graded:
        members[known[requirement.name].text].append((requirement, verdict))
    there = [step for step in STEPS if members[step.text]]

    something_failed = any(verdict.mark == "failed" for _, verdict in graded)
    undone = ("failed", "not graded") if something_failed else ()
    done = 0
    following = ""
    for step in there:
        lines = members[step.text]
        done += all(verdict.mark not in undone for _, verdict in lines)
        following = following or _first_failure(step, lines)
    return Built(done, len(there), following)


def _first_failure(step: Step, lines: Graded) -> str:
    """The first line of the step that failed; empty if none did."""
    by_name = {
        requirement.name: (requirement, verdict) for requirement, verdict in lines
    }
    others = [name for name in by_name if name not in step.lines]
    for name in (*step.lines, *others):
        if name in by_name:
            requirement, verdict = by_name[name]
            if verdict.mark == "failed":
                return _told(step, requirement, verdict)
    return ""


def _told(step: Step, requirement: Requirement, verdict: Verdict) -> str:
    return (
        f"{step.text}. “{requirement.text}”: "
        f"expected {verdict.expected}; {verdict.happened}"
    )
