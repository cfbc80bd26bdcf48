"""The score of a class: ``python -m notebooks.score``.

An attempt is what a learner has changed. Only its check gives a point,
and a broken notebook loses nothing but itself.
"""

import asyncio
import csv
import importlib
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from notebooks import checks, refresh, score
from notebooks.checks import outgrowing
from notebooks.score import (
    COLLECT,
    NOT_ATTEMPTED,
    NOT_REACHED,
    RIGHT,
    WRONG,
    Lesson,
    Outcome,
    Scored,
)

COURSE = score.lessons()
LESSON = COURSE["outgrowing"]
IMPORTS = "from notebooks.checks import outgrowing as check"
SIZED = "check.sizing((1200, 2.4, 3))"


def notebook_of(*codes: str) -> Any:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(code) for code in codes]
    return notebook


def write(path: Path, *codes: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook_of(*codes), path)
    return path


def result(text: str) -> Any:
    return nbformat.v4.new_output("execute_result", data={"text/plain": repr(text)})


def outcome_after(
    said: dict[int, str], *codes: str, outputs: "list[Any] | None" = None
) -> Outcome:
    """Of "sizing", where these cells were run up to the last that said.

    ``said`` is, by the number of the cell, what its checks have said,
    as JSON. ``outputs`` are those of the first cell.
    """
    notebook = notebook_of(*codes)
    cells = list(notebook.cells)
    score.prepare(notebook, LESSON)
    cells[0].outputs = outputs or []
    for number, text in said.items():
        after = notebook.cells[notebook.cells.index(cells[number]) + 1]
        assert after.source == COLLECT
        after.outputs = [result(text)]
    return score.outcome_of(notebook, LESSON, "sizing")


def test_every_exercise_of_the_course_is_known() -> None:
    assert {lesson.name for lesson in COURSE.values()} == set(refresh.names())
    for lesson in COURSE.values():
        importlib.import_module(f"notebooks.checks.{lesson.module}")
        known = {key for key in checks.CHECKS if key.startswith(f"{lesson.module}.")}
        assert {f"{lesson.module}.{exercise}" for exercise in lesson.given} == known


@pytest.mark.parametrize("lesson", COURSE.values(), ids=lambda each: each.name)
def test_a_lesson_as_it_is_given_has_no_attempt(lesson: Lesson) -> None:
    notebook = refresh.read(lesson.name)
    score.prepare(notebook, lesson)
    for exercise in lesson.given:
        outcome = score.outcome_of(notebook, lesson, exercise)
        assert outcome == Outcome(exercise, NOT_ATTEMPTED)


def test_only_code_is_an_attempt() -> None:
    given = LESSON.given["sizing"]
    untouched = f"# I do not know.\n{given.replace(', ', ',  ')}\n\n"
    assert untouched != given
    said = '{"outgrowing.sizing": null}'
    assert outcome_after({0: said}, untouched).verdict == NOT_ATTEMPTED
    assert outcome_after({0: said}, SIZED).verdict == RIGHT


def test_a_check_may_be_called_by_the_name_of_its_module() -> None:
    said = '{"outgrowing.sizing": null}'
    code = SIZED.replace("check.", "outgrowing.")
    assert outcome_after({0: said}, code).verdict == RIGHT


def test_a_learner_that_prints_right_gets_no_point() -> None:
    code = "print('Right. I am sure.')  # check.sizing(sizing)"
    outcome = outcome_after({0: "{}"}, code)
    assert outcome == Outcome("sizing", WRONG, "the check was not called")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ("null", '"not 600."', WRONG),
        ('"not 600."', "null", RIGHT),
    ],
)
def test_the_last_attempt_counts(first: str, second: str, verdict: str) -> None:
    said = {
        0: f'{{"outgrowing.sizing": {first}}}',
        1: f'{{"outgrowing.sizing": {second}}}',
    }
    assert outcome_after(said, SIZED, f"{SIZED}\n1").verdict == verdict


def test_the_given_cell_below_an_attempt_takes_nothing_from_it() -> None:
    said = {
        0: '{"outgrowing.sizing": null}',
        1: '{"outgrowing.sizing": "put three numbers in place of the dots."}',
    }
    assert outcome_after(said, SIZED, LESSON.given["sizing"]).verdict == RIGHT


def test_an_attempt_that_raises_says_so() -> None:
    error = nbformat.v4.new_output(
        "error", ename="NameError", evalue="no\x1b[2J\nname", traceback=[]
    )
    outcome = outcome_after({0: "{}"}, SIZED, outputs=[error])
    assert outcome.verdict == WRONG
    assert outcome.message == "the cell raises NameError: no [2J name"


def test_what_was_not_run_is_not_reached() -> None:
    assert outcome_after({}, SIZED).verdict == NOT_REACHED


def test_old_outputs_give_no_points() -> None:
    notebook = notebook_of(SIZED, COLLECT)
    for cell in notebook.cells:
        cell.outputs = [result('{"outgrowing.sizing": null}')]
    score.prepare(notebook, LESSON)
    assert score.outcome_of(notebook, LESSON, "sizing").verdict == NOT_REACHED


def test_what_checks_have_said_is_taken_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks.taken()
    outgrowing.sizing((1200, 2.4, 3))
    assert checks.taken() == '{"outgrowing.sizing": null}'
    assert checks.taken() == "{}"
    assert capsys.readouterr().out.startswith("Right. ")


def test_notebooks_are_found_whatever_their_names(tmp_path: Path) -> None:
    alice = write(tmp_path / "alice" / "Lösung 15 (2).ipynb", IMPORTS)
    bob = write(tmp_path / "week 2" / "bob" / "15.ipynb", IMPORTS)
    carol = write(tmp_path / "carol.IPYNB", IMPORTS)
    write(tmp_path / "alice" / ".ipynb_checkpoints" / "15.ipynb", IMPORTS)
    (tmp_path / "a folder.ipynb").mkdir()

    found = score.found_in(tmp_path)
    assert found == sorted([alice, bob, carol])
    students = {score.student_of(path, tmp_path) for path in found}
    assert students == {"alice", "week 2/bob", "carol"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "cannot be read"),
        ("no JSON", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": 3}', "cannot be read"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "no les"),
    ],
)
def test_what_is_no_lesson_is_told(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(text, encoding="utf-8")
    scored = asyncio.run(score.score(path, tmp_path, COURSE))
    assert fault in scored.fault
    assert scored.outcomes == []


def test_the_table_and_the_file(tmp_path: Path) -> None:
    outcomes = [
        Outcome("sizing", RIGHT),
        Outcome("shard_of", WRONG, "not 4."),
        Outcome("hand_out", NOT_ATTEMPTED),
    ]
    scored = [
        Scored("alice", "alice/15.ipynb", LESSON.name, outcomes),
        Scored("=bob", "=bob/x.ipynb", fault="cannot be read: NotJSONError"),
    ]
    assert score.table_of(scored).splitlines() == [
        "student  lesson                     right  wrong  not attempted",
        "alice    15-outgrowing-one-machine  1      1      1",
        "    shard_of: not 4.",
        "=bob     ?                          0      0      0",
        "    =bob/x.ipynb cannot be read: NotJSONError",
    ]

    path = tmp_path / "class.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        score.write_csv(scored, file)
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    alice = ["alice", "alice/15.ipynb", LESSON.name]
    assert rows == [
        [*alice, "sizing", RIGHT, ""],
        [*alice, "shard_of", WRONG, "not 4."],
        [*alice, "hand_out", NOT_ATTEMPTED, ""],
        ["'=bob", "'=bob/x.ipynb", "?", "", "", "cannot be read: NotJSONError"],
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tmp}/nowhere"], "is no folder"),
        (["{tmp}"], "there is no notebook below"),
        (["{tmp}", "--jobs", "0"], "--jobs: '0' is no whole number above 0"),
        (["{tmp}", "--jobs", "two"], "--jobs: 'two' is no whole number above 0"),
        (["{tmp}", "--timeout", "nan"], "'nan' is no number of seconds above 0"),
        (["{tmp}", "--timeout", "0.0"], "'0.0' is no number of seconds above 0"),
    ],
)
def test_bad_input_is_told_and_ends_with_2(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.format(tmp=tmp_path) for each in arguments]
    monkeypatch.setattr(sys, "argv", ["score", *given])
    with pytest.raises(SystemExit) as exited:
        score.main()
    assert exited.value.code == 2
    assert words in capsys.readouterr().err


def test_a_csv_that_cannot_be_written_is_told_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "x.ipynb", IMPORTS)
    nowhere = tmp_path / "nowhere" / "class.csv"
    monkeypatch.setattr(sys, "argv", ["score", str(tmp_path), "--csv", str(nowhere)])
    with pytest.raises(SystemExit) as exited:
        score.main()
    assert exited.value.code == 2
    told = capsys.readouterr()
    assert "cannot be written" in told.err
    assert told.out == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_a_class(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(
        tmp_path / "alice" / "my answers.ipynb",
        "raise RuntimeError('a cell that has nothing to do with it')",
        IMPORTS,
        SIZED,
        "def shard_of(address, shards):\n    return 9\n\n\ncheck.shard_of(shard_of)",
        LESSON.given["hand_out"],
        "print('x' * 10)",
    )
    write(
        tmp_path / "bob" / "15.ipynb",
        IMPORTS,
        f"{SIZED}\n1 +* 2",
        "check.hand_out(hand_owt)",
    )
    write(tmp_path / "carol.ipynb", IMPORTS, SIZED, "import os; os._exit(3)")
    (tmp_path / "dave.ipynb").write_text("not a notebook", encoding="utf-8")

    written = tmp_path / "class.csv"
    arguments = ["score", str(tmp_path), "--csv", str(written), "--jobs", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    score.main()

    with written.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    verdicts = {(row["student"], row["exercise"]): row["verdict"] for row in rows}
    assert verdicts == {
        ("alice", "sizing"): RIGHT,
        ("alice", "shard_of"): WRONG,
        ("alice", "hand_out"): NOT_ATTEMPTED,
        ("bob", "sizing"): WRONG,
        ("bob", "shard_of"): NOT_ATTEMPTED,
        ("bob", "hand_out"): WRONG,
        ("carol", ""): "",
        ("carol", "sizing"): RIGHT,
        ("carol", "shard_of"): NOT_ATTEMPTED,
        ("carol", "hand_out"): NOT_ATTEMPTED,
        ("dave", ""): "",
    }
    told = capsys.readouterr().out
    assert "[4/4] " in told
    assert "shard_of: for 10.0.0.1 and 1 shards it returns 9" in told
    assert "sizing: the cell raises SyntaxError" in told
    assert "hand_out: the cell raises NameError: name 'hand_owt'" in told
    assert "carol.ipynb its kernel died" in told
    assert "dave.ipynb cannot be read: NotJSONError" in told


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_a_cell_that_never_ends_costs_its_exercise_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "CELL", 8)
    path = write(
        tmp_path / "x.ipynb",
        IMPORTS,
        "while True:\n    pass\ncheck.shard_of(shard_of)",
        SIZED,
    )
    scored = asyncio.run(score.score(path, tmp_path, COURSE))
    assert scored.fault == ""
    assert scored.outcomes == [
        Outcome("sizing", RIGHT),
        Outcome("shard_of", WRONG, "the cell was stopped after 8 s"),
        Outcome("hand_out", NOT_ATTEMPTED),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Jupyter's own
def test_a_notebook_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    path = write(tmp_path / "x.ipynb", "import time", "time.sleep(60)", SIZED, IMPORTS)
    scored = asyncio.run(score.score(path, tmp_path, COURSE, limit=3))
    assert scored.fault == "was stopped after 3 s"
    sizing, *_ = scored.outcomes
    assert sizing == Outcome("sizing", NOT_REACHED)
