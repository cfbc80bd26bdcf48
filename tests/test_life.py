"""LIFE.md tells what the engine does now.

Its table of calls cannot outlive the engine.
"""

import sys

import pytest

from taskmanager.testing import run_in_virtual_time
from tests import life

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="plays POSIX signals")


def test_the_page_is_what_the_engine_does() -> None:
    assert life.PAGE.read_text(encoding="utf-8") == life.page(), (
        "run python -m tests.life"
    )


def test_a_function_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(life.CALLS, "manager.submit_all", "It is gone.")
    with pytest.raises(life.OutdatedError, match=r"0 functions manager\.submit_all"):
        life.page()


def test_a_module_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(life.CALLS, "models.submit", "It is gone.")
    with pytest.raises(life.OutdatedError, match=r"0 functions models\.submit"):
        life.page()


def test_a_name_of_two_functions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(life.CALLS, "manager.__init__", "Which one?")
    monkeypatch.setitem(life.CALLS, "supervisor.stop", "Which one?")
    with pytest.raises(
        life.OutdatedError, match=r"functions supervisor\.stop, not one"
    ):
        life.page()


def test_a_parameter_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(life.CALLS, "store.add", "Task {number} is kept.")
    with pytest.raises(life.OutdatedError, match=r"store\.add has no 'number'"):
        life.page()


@pytest.mark.parametrize(
    "reason",
    [
        life.Reason("pending._put", "store.add", "the other way round"),
        life.Reason(
            "store.add", "store.forget_oldest", "ten minutes", in_one_turn=True
        ),
    ],
)
def test_a_reason_that_no_run_shows_is_refused(reason: life.Reason) -> None:
    [task, *_] = life.LIVES
    with pytest.raises(life.OutdatedError, match=reason.then):
        life.check_reason(reason, life.played(task))


def test_each_life_says_why_its_order_matters() -> None:
    assert all(each.reasons for each in life.LIVES)


def test_every_call_of_the_table_is_made_in_some_life() -> None:
    made = {step.call for each in life.LIVES for step in life.played(each)}
    assert made == life.CALLS.keys()


def test_nothing_watches_any_more_when_a_run_has_failed() -> None:
    recorder = life.Recorder()

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), recorder.watching():
        run_in_virtual_time(fail())
    assert sys.getprofile() is None
