"""When can a task be expected to be done? Tables, by hand."""

import pytest

from taskmanager import estimate


@pytest.mark.parametrize(
    ("ends", "workers", "seconds"),
    [
        # A worker is free.
        ([], 1, 0.0),
        ([7.0], 2, 0.0),
        # None is: the first to end counts.
        ([7.0], 1, 7.0),
        ([7.0, 3.0], 2, 3.0),
        # One is late, and should have ended already.
        ([-2.0, 3.0], 2, 0.0),
    ],
)
def test_seconds_until_a_worker_is_free(
    ends: list[float], workers: int, seconds: float
) -> None:
    assert estimate.seconds_until_free(ends, workers) == seconds


@pytest.mark.parametrize(
    ("ahead", "ends", "workers", "seconds"),
    [
        # A free worker takes it at once.
        (0, [], 1, 0.0),
        (1, [], 2, 0.0),
        # So does one beside another that is not free.
        (0, [9.0], 2, 0.0),
        # It is the next when a worker ends.
        (0, [9.0], 1, 9.0),
        (0, [9.0, 4.0], 2, 4.0),
        # One is ahead of it, which takes 6 s of one worker.
        (1, [9.0], 1, 15.0),
        # Of two workers that is 3 s.
        (1, [9.0, 4.0], 2, 7.0),
        # Two are ahead of it, and two are free: a mean passes first.
        (2, [], 2, 6.0),
        (3, [], 2, 9.0),
        # One is free, and one ends some time.
        (1, [9.0], 2, 6.0),
    ],
)
def test_seconds_until_a_task_begins(
    ahead: int, ends: list[float], workers: int, seconds: float
) -> None:
    assert estimate.seconds_until_begun(ahead, 6.0, ends, workers) == seconds


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-3.0, 1),
        (0.0, 1),
        (1.0, 1),
        (1.001, 2),
        (59.5, 60),
    ],
)
def test_whole_seconds_are_rounded_up_and_at_least_1(seconds: float, told: int) -> None:
    assert estimate.whole_seconds(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (74, 74),
        (74.1, 76),
        (75, 76),
        (75.1, 76),
        (76, 76),
    ],
)
def test_nobody_is_told_to_come_when_an_idle_connection_is_closed(
    seconds: float, told: int
) -> None:
    assert estimate.whole_seconds(seconds) == told
