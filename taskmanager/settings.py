"""Settings: every default, with the reason for it, and the environment
variables that change it.

Rule: a Settings object is valid and never changes, so nothing later has
to check again.
"""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

PREFIX = "TASKMANAGER_"
_ABOVE_0 = 1e-9


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message is one
    line and names its variable.
    """


def _setting(default: float, low: float = 1, high: float = 10**9) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be tuned; times are in seconds. Raises SettingsError for
    a value out of bounds.
    """

    # tasks processed in parallel: the exercise's five
    workers: int = _setting(5, high=10_000)
    # tasks that may be queued at once: the exercise's hundred
    queue_size: int = _setting(100)
    # requests per window per client: the exercise's ten; None: no limit
    rate_limit: int | None = _setting(10)
    # the exercise's minute; whole seconds, as the header has it
    rate_window: int = _setting(60)
    max_clients: int = _setting(100_000)  # clients the limiter remembers: about 120 MB
    # longest long poll: the exercise's ten seconds
    wait_timeout: float = _setting(10.0, _ABOVE_0)
    # how long a finished task can be read: the exercise's ten minutes
    retention: float = _setting(600.0, 0)
    # how late the cleanup may come: 5 % of retention
    cleanup_interval: float = _setting(30.0, _ABOVE_0)
    # task records kept, which bounds memory between two cleanups
    max_tasks: int = _setting(10_000)
    # real seconds a task may process: twice the longest
    task_timeout: float = _setting(60.0, _ABOVE_0)
    # multiplies every simulated duration: 0 makes it instant
    work_scale: float = _setting(1.0, 0)
    # bytes of a request body: room for 10,000 numbers of 25 digits
    max_body: int = _setting(262_144)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, low, high = (
                getattr(self, field.name),
                field.metadata["low"],
                field.metadata["high"],
            )
            kind, kinds = (
                ("whole number", int)
                if isinstance(field.default, int)
                else ("number", (int, float))
            )
            # NaN does not
            fits = (
                isinstance(value, kinds)
                and not isinstance(value, bool)
                and low <= value <= high
            )
            if not fits and (field.name, value) != ("rate_limit", None):
                bounds = f"a {kind} from {low} to {high}" + (
                    ", or 'off'" if field.name == "rate_limit" else ""
                )
                raise SettingsError(
                    f"{PREFIX}{field.name.upper()} must be {bounds}; got {value!r:.40}"
                )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Settings from TASKMANAGER_<NAME>, where an empty value counts
        as unset. Raises SettingsError.
        """
        fields = {
            PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)
        }
        given = {name: text.strip() for name, text in environ.items() if text.strip()}
        settings = cls(
            **{
                field.name: _parse(field, given[name])
                for name, field in fields.items()
                if name in given
            }
        )
        # main.py reads these two
        known = {*fields, PREFIX + "EXECUTOR", PREFIX + "DASK_SCHEDULER"}
        for name in sorted(
            name for name in environ if name.startswith(PREFIX) and name not in known
        ):
            logging.getLogger(__name__).warning("unknown setting %s is ignored", name)
        if given.get("WEB_CONCURRENCY", "1") != "1":
            logging.getLogger(__name__).warning(
                "WEB_CONCURRENCY starts processes that share no tasks and no limits"
            )
        return settings


def _parse(field: "dataclasses.Field[Any]", text: str) -> Any:
    if field.name == "rate_limit" and text.lower() == "off":
        return None
    try:
        return int(text) if isinstance(field.default, int) else float(text)
    except ValueError:
        return text  # which no field takes
