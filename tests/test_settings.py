"""Settings: valid and frozen, or one line that names the variable."""

import dataclasses
import logging
import math
from typing import Any

import pytest

from taskmanager.settings import Settings, SettingsError

FIELDS = [field.name for field in dataclasses.fields(Settings)]
NUMBERS = [
    field.name
    for field in dataclasses.fields(Settings)
    if isinstance(field.default, int | float)
]


def test_the_defaults_are_those_of_the_exercise() -> None:
    assert dataclasses.asdict(Settings()) == {
        "workers": 5,
        "queue_size": 100,
        "rate_limit": 10,
        "rate_window": 60,
        "max_clients": 100_000,
        "wait_timeout": 10.0,
        "retention": 600.0,
        "cleanup_interval": 30.0,
        "max_tasks": 10_000,
        "task_timeout": 60.0,
        "work_scale": 1.0,
        "max_body": 262_144,
        "executor": "process",
        "dask_scheduler": None,
        "telemetry": "off",
        "live": "on",
        "max_streams": 1000,
    }


def test_settings_never_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().workers = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("WORKERS", "3", 3),
        ("RATE_LIMIT", "off", None),
        ("RATE_LIMIT", " OFF ", None),
        ("RATE_LIMIT", "1", 1),
        ("WAIT_TIMEOUT", "0.001", 0.001),
        ("WORK_SCALE", "0", 0.0),
        ("RETENTION", "0", 0.0),
        ("QUEUE_SIZE", "", 100),
        ("QUEUE_SIZE", "  ", 100),
        ("EXECUTOR", "Thread", "thread"),
        ("TELEMETRY", "On", "on"),
        ("LIVE", " ON", "on"),
    ],
)
def test_a_variable_sets_its_field(
    name: str, text: str, value: float | str | None
) -> None:
    settings = Settings.from_env({f"TASKMANAGER_{name}": text})
    assert getattr(settings, name.lower()) == value


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "nan",
        "inf",
        "true",
        "x\ny",
        "1e30",
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_the_variable(
    field: str, text: str
) -> None:
    variable = f"TASKMANAGER_{field.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable} must be ") as refused:
        Settings.from_env({variable: text})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        (
            {"workers": 0},
            "TASKMANAGER_WORKERS must be a whole number from 1 to 10000; got 0",
        ),
        (
            {"retention": -1},
            "TASKMANAGER_RETENTION must be a number from 0 to 1000000000; got -1",
        ),
        (
            {"rate_limit": 0},
            "TASKMANAGER_RATE_LIMIT must be a whole number from 1 to 1000000000, "
            "or 'off'; got 0",
        ),
    ],
)
def test_a_refusal_word_for_word(setting: dict[str, Any], refusal: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(**setting)
    assert str(refused.value) == refusal


@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"work_scale", "retention"}))
def test_all_but_two_are_positive(field: str) -> None:
    with pytest.raises(SettingsError):
        Settings.from_env({f"TASKMANAGER_{field.upper()}": "0"})


@pytest.mark.parametrize("field", NUMBERS)
def test_a_setting_may_be_as_large_as_its_bound_and_no_larger(field: str) -> None:
    bound = 10_000 if field == "workers" else 10**9
    assert getattr(Settings(**{field: bound}), field) == bound

    refusal = f"^TASKMANAGER_{field.upper()} must be .* to {bound}"
    with pytest.raises(SettingsError, match=refusal):
        Settings(**{field: bound + 1})


@pytest.mark.parametrize(
    "field",
    [
        "wait_timeout",
        "retention",
        "cleanup_interval",
        "task_timeout",
        "work_scale",
    ],
)
def test_durations_may_be_fractions(field: str) -> None:
    settings = Settings.from_env({f"TASKMANAGER_{field.upper()}": "0.25"})
    assert getattr(settings, field) == 0.25


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize(
    "text",
    [
        "\u0663",
        "\uff13",
        "1_0",
    ],
)
def test_a_number_has_plain_digits_only(field: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^TASKMANAGER_{field.upper()} must be "):
        Settings.from_env({f"TASKMANAGER_{field.upper()}": text})


@pytest.mark.parametrize("field", ["wait_timeout", "cleanup_interval", "task_timeout"])
def test_a_time_that_may_not_be_0_is_a_millisecond_at_least(field: str) -> None:
    assert getattr(Settings(**{field: 0.001}), field) == 0.001

    refusal = f"TASKMANAGER_{field.upper()} must be a number from 0.001 to 1000000000"
    for seconds in (0.0009, 1e-320):
        with pytest.raises(SettingsError, match=f"^{refusal}; got {seconds}$"):
            Settings(**{field: seconds})


def test_only_some_can_be_off() -> None:
    assert Settings.from_env({"TASKMANAGER_LIVE": "Off"}).live == "off"
    for field in set(FIELDS) - {"rate_limit", "telemetry", "live"}:
        variable = f"TASKMANAGER_{field.upper()}"
        with pytest.raises(SettingsError, match=f"^{variable} must be "):
            Settings.from_env({variable: "off"})


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "x" * 5000,
        "5\u20285",
        "\udcff",
        "'\x1b[2J",
    ],
)
def test_the_refusal_of_an_ugly_value_stays_one_short_line(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"TASKMANAGER_WORKERS": text})
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "value",
    [
        True,
        "5",
        5.0,
        None,
        math.nan,
    ],
)
def test_a_wrong_type_is_refused_in_python_too(value: object) -> None:
    with pytest.raises(SettingsError, match="TASKMANAGER_WORKERS"):
        Settings(workers=value)  # type: ignore[arg-type]


def test_the_window_is_a_whole_number() -> None:
    refusal = "TASKMANAGER_RATE_WINDOW must be a whole number"
    with pytest.raises(SettingsError, match=refusal):
        Settings.from_env({"TASKMANAGER_RATE_WINDOW": "60.5"})


def test_unknown_names_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Settings.from_env({"TASKMANAGER_WORKRES": "5", "OTHER": "1"})
    assert caplog.record_tuples == [
        (
            "taskmanager.settings",
            logging.WARNING,
            "unknown setting TASKMANAGER_WORKRES is ignored",
        ),
    ]


def test_nothing_is_warned_of_by_default(caplog: pytest.LogCaptureFixture) -> None:
    # How many processes there are, the server knows.
    Settings.from_env({"TASKMANAGER_WORKERS": "5", "WEB_CONCURRENCY": "2"})
    Settings.from_env(
        {
            "TASKMANAGER_EXECUTOR": "dask",
            "TASKMANAGER_DASK_SCHEDULER": "tcp://x:1",
        }
    )
    assert not caplog.records


def test_an_empty_environment_gives_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert Settings.from_env({}) == Settings()
    assert caplog.records == []
