"""The day that goes wrong, and what it is worth."""

from typing import Any

import pytest

from notebooks import incident
from notebooks.checks import incident as checks
from notebooks.solutions import incident as solutions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def before() -> incident.Day:
    """The day as it was."""
    return incident.play()


def points(**changes: Any) -> int:
    return incident.score(incident.play(**changes)).points


def test_the_day_is_the_same_each_time(before: incident.Day) -> None:
    incident.as_it_was.cache_clear()
    again = incident.play()
    assert again.access == before.access
    assert again.health == before.health
    assert again.orders == before.orders


def test_what_a_reader_changes_is_not_in_the_next_copy(before: incident.Day) -> None:
    mine = incident.play()
    mine.health[0]["hour"] = -1
    mine.orders.clear()
    again = incident.play()
    assert again.health == before.health
    assert again.orders == before.orders


def test_what_happens_does_not_depend_on_the_settings(before: incident.Day) -> None:
    def wanted(day: incident.Day) -> list[tuple[float, str]]:
        return sorted((order.hour, order.client) for order in day.orders)

    changed = incident.play(rate_limit=21, jitter=True)
    assert wanted(changed) == wanted(before)
    # /health is read from an address that is no client's.
    assert [each["hour"] for each in changed.health[:200]] == [
        each["hour"] for each in before.health[:200]
    ]
    assert all("queued" in each for each in changed.health)


def test_neither_nothing_nor_everything_is_the_answer(before: incident.Day) -> None:
    assert incident.score(before).points <= 30
    assert points(workers=100, queue_size=10_000, rate_limit=1000) == 0
    assert points(workers=1, queue_size=1, rate_limit=1) == 0


def test_five_slots_are_best() -> None:
    by_size = {
        size: points(**solutions.changes | {"queue_size": size})
        for size in (2, 4, 5, 6, 10)
    }
    assert by_size[5] >= 90
    assert max(by_size, key=lambda size: by_size[size]) == 5
    # The sum with reports alone gives two, which are enough.
    assert min(by_size.values()) >= incident.ENOUGH


@pytest.mark.parametrize("workers", [4, 6])
@pytest.mark.parametrize(("less", "spares"), [(0, True), (1, False)])
def test_a_limit_of_their_busiest_minute_spares_ordinary_clients(
    workers: int, less: int, spares: bool
) -> None:
    day = incident.play(workers=workers, rate_limit=solutions.most - less)
    refused = [
        line for line in day.access if line["status"] == 429 and line["hour"] < 7
    ]
    assert (refused == []) is spares


def test_a_request_is_noted_when_it_comes(before: incident.Day) -> None:
    """Else what a limiter counts could not be counted again."""
    polls = [line for line in before.access if line["method"] == "GET"]
    submitted = {
        line["path"]: line["hour"] for line in before.access if line["status"] == 202
    }
    first = {}
    for poll in polls:
        first.setdefault(poll["path"], poll["hour"])
    assert {hour - submitted[path] for path, hour in first.items()} == {0}


def test_the_death_did_not_matter(
    before: incident.Day, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incident, "FAULT", (15.0, 15.0))
    # It is not kept from the day with the fault.
    monkeypatch.setattr(incident, "as_it_was", incident.as_it_was.__wrapped__)
    without = incident.play()
    assert all(line["level"] == "info" for line in without.log)
    assert without.orders == before.orders


@pytest.mark.parametrize("without", ["workers", "queue_size", "rate_limit"])
def test_it_takes_all_three(without: str) -> None:
    recommended = dict(solutions.changes)
    del recommended[without]
    assert points(**recommended) < incident.ENOUGH


def test_a_day_is_told_by_its_log(before: incident.Day) -> None:
    submitted = [line for line in before.log if line.get("to") == "queued"]
    accepted = [line for line in before.access if line["status"] == 202]
    assert {f"/tasks/{line['task_id']}" for line in submitted} == {
        line["path"] for line in accepted
    }
    deaths = {line["loop"] for line in before.log if line["level"] == "error"}
    assert deaths == {incident.VICTIM}
    assert checks.EVENTS == ["flood", "retries", "death"]
