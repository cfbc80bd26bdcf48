"""What each task type accepts."""

import math
import sys
import unicodedata
from typing import Any

import pytest
from pydantic import ValidationError

from taskmanager.parameters import SUBMISSION


def check(task_type: str, **parameters: Any) -> dict[str, Any]:
    submission = SUBMISSION.validate_python(
        {"task_type": task_type, "parameters": parameters}
    )
    return submission.parameters.model_dump()


ACCEPTED = [
    ("compute_sum", {"numbers": [0]}),
    ("compute_sum", {"numbers": [1, -2.5, 10**100 - 1, 1 - 10**100, 1e308]}),
    ("compute_sum", {"numbers": [1] * 10_000}),
    ("generate_report", {"title": "x", "sections": 1}),
    ("generate_report", {"title": "é" * 200, "sections": 20}),
    ("generate_report", {"title": "\u2028 \U0001f600", "sections": 5}),
    ("count_primes", {"limit": 0}),
    ("count_primes", {"limit": 1_000_000_000}),
    ("simulate_failure", {"kind": "crash", "message": ""}),
    ("simulate_failure", {"kind": "timeout", "message": "x" * 200}),
]
REFUSED = [
    *(
        (task_type, {"more": 1})
        for task_type in (
            "compute_sum",
            "generate_report",
            "count_primes",
            "simulate_failure",
        )
    ),
    ("generate_report", {"title": "x", "more": 1}),
    ("count_primes", {"limit": 1, "more": 1}),
    ("compute_sum", {}),
    ("compute_sum", {"numbers": []}),
    ("compute_sum", {"numbers": [1] * 10_001}),
    *(
        ("compute_sum", {"numbers": [bad]})
        for bad in (True, "5", None, [], {}, math.nan, math.inf, -math.inf)
    ),
    *(
        ("compute_sum", {"numbers": [1, bad]})
        for bad in (10**100, -(10**100), 10**4000, 1j, b"1")
    ),
    ("compute_sum", {"numbers": 5}),
    ("compute_sum", {"numbers": "123"}),
    ("compute_sum", {"numbers": [1], "more": 1}),
    ("generate_report", {}),
    *(("generate_report", {"title": bad}) for bad in ("", "x" * 201, 5, None, True)),
    *(
        ("generate_report", {"title": f"a{bad}b"})
        for bad in "\x00\t\n\x1f\x7f\x80\x9f\ud800\udfff"
    ),
    *(
        ("generate_report", {"title": "x", "sections": bad})
        for bad in (0, 21, True, "5", 5.5, None, math.nan, math.inf, 1e30)
    ),
    *(
        ("count_primes", {"limit": bad})
        for bad in (-1, 1_000_000_001, True, "5", 1.5, None, math.nan, math.inf)
    ),
    ("count_primes", {}),
    *(("simulate_failure", {"kind": bad}) for bad in ("boom", "CRASH", "", None, 1)),
    *(("simulate_failure", {"message": bad}) for bad in (5, None, True, "a\ud800")),
    ("simulate_failure", {"message": "x" * 201}),
    ("simulate_failure", {"message": "a\nb"}),
    ("no_such_type", {}),
]


@pytest.mark.parametrize(("task_type", "parameters"), ACCEPTED)
def test_accepted(task_type: str, parameters: dict[str, Any]) -> None:
    assert check(task_type, **parameters) == parameters


@pytest.mark.parametrize(("task_type", "parameters"), REFUSED)
def test_refused(task_type: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        check(task_type, **parameters)


def test_what_a_number_is() -> None:
    with pytest.raises(ValidationError) as refused:
        check("compute_sum", numbers=[True])
    (error,) = refused.value.errors()
    assert (error["type"], error["msg"]) == (
        "number",
        "Input should be a finite number, an integer of at most 100 digits",
    )


@pytest.mark.parametrize(
    "submission",
    [
        {},
        [],
        None,
        {"task_type": "count_primes"},
        {"parameters": {"limit": 1}},
        {"task_type": None, "parameters": {"limit": 1}},
        {"task_type": ["count_primes"], "parameters": {"limit": 1}},
        {"task_type": "COUNT_PRIMES", "parameters": {"limit": 1}},
        {"task_type": "count_primes", "parameters": None},
        {"task_type": "count_primes", "parameters": [1]},
        {"task_type": "count_primes", "parameters": {"limit": 1}, "more": 1},
        *(
            {"task_type": "count_primes", "parameters": {"limit": 1}, "priority": bad}
            for bad in ("urgent", "HIGH", "", 0, None)
        ),
    ],
)
def test_a_malformed_submission_is_refused(submission: object) -> None:
    with pytest.raises(ValidationError):
        SUBMISSION.validate_python(submission)


def test_a_submission_has_normal_priority_unless_it_says_otherwise() -> None:
    body = {"task_type": "count_primes", "parameters": {"limit": 1}}
    assert SUBMISSION.validate_python(body).priority == "normal"
    for priority in ("high", "normal", "low"):
        assert (
            SUBMISSION.validate_python(body | {"priority": priority}).priority
            == priority
        )


def test_texts_may_have_every_character_but_control_characters_and_surrogates() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    refused = {
        character
        for character in characters
        if unicodedata.category(character) in ("Cc", "Cs")
    }
    for character in refused:
        with pytest.raises(ValidationError):
            check("simulate_failure", message=character)
    allowed = [character for character in characters if character not in refused]
    for start in range(0, len(allowed), 200):
        text = "".join(allowed[start : start + 200])
        assert check("simulate_failure", message=text)["message"] == text


def test_defaults_are_filled_in() -> None:
    assert check("generate_report", title="x") == {"title": "x", "sections": 5}
    failure = check("simulate_failure")
    assert failure.keys() == {"kind", "message"}
    assert failure["kind"] == "task_failed"
    assert failure["message"]


def test_a_whole_float_is_a_whole_number() -> None:
    assert check("count_primes", limit=1e9) == {"limit": 10**9}
    assert type(check("generate_report", title="x", sections=2.0)["sections"]) is int


def test_integers_and_floats_stay_what_they_are() -> None:
    assert [
        type(number) for number in check("compute_sum", numbers=[1, 1.0])["numbers"]
    ] == [int, float]
