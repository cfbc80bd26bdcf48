"""Settings: every default, with the reason for it, and the environment
variables that change it.

Rule: a Settings object is valid and never changes, so nothing later has
to check again.
"""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, create_model

PREFIX = "TASKMANAGER_"

logger = logging.getLogger(__name__)


class SettingsError(ValueError):
    """A setting cannot be used; one line says which, and why."""


# What a setting may be: a check for pydantic, and words for the error.


def _check_address(text: str) -> str:
    # Reading a port that is no number, or too large, raises ValueError.
    url = urlsplit(text)
    if not url.hostname or not url.port:
        raise ValueError

    # There is nothing else: no path, no query.
    if text != f"tcp://{url.netloc}":
        raise ValueError
    return text


Count: TypeAlias = Annotated[
    int,
    Field(
        strict=True, ge=1, le=10**9, description="a whole number from 1 to 1000000000"
    ),
]
CountOrOff: TypeAlias = Annotated[
    Count | None,
    Field(description="a whole number from 1 to 1000000000, or 'off'"),
]
NonNegative: TypeAlias = Annotated[
    float,
    Field(
        strict=True,
        ge=0,
        le=10**9,
        allow_inf_nan=False,
        description="a number from 0 to 1000000000",
    ),
]
# Where zero would make no sense, less than a millisecond makes none
# either: a cleanup that often would use up a core.
Positive: TypeAlias = Annotated[
    NonNegative,
    Field(ge=0.001, description="a number from 0.001 to 1000000000"),
]
Address: TypeAlias = Annotated[str, AfterValidator(_check_address)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be tuned; times are in seconds.

    Raises SettingsError for a value out of bounds.
    """

    # Tasks processed in parallel: the exercise's five.
    workers: Annotated[
        int,
        Field(
            strict=True, ge=1, le=10_000, description="a whole number from 1 to 10000"
        ),
    ] = 5
    # Tasks that may be queued at once: the exercise's hundred.
    queue_size: Count = 100
    # Requests in a window for each client: the exercise's ten. None: no
    # limit.
    rate_limit: CountOrOff = 10
    # The exercise's minute; whole seconds, as the header has it.
    rate_window: Count = 60
    # Clients that the limiter remembers: about 120 MB.
    max_clients: Count = 100_000
    # The longest long poll: the exercise's ten seconds.
    wait_timeout: Positive = 10.0
    # How long a finished task can be read: the exercise's ten minutes.
    retention: NonNegative = 600.0
    # How late the cleanup may come: 5 % of the retention.
    cleanup_interval: Positive = 30.0
    # Task records kept, which bounds memory between two cleanups.
    max_tasks: Count = 10_000
    # Real seconds that a task may process: twice the longest.
    task_timeout: Positive = 60.0
    # Multiplies every simulated duration: 0 makes it instant.
    work_scale: NonNegative = 1.0
    # Bytes of a request body: room for 10,000 numbers of 25 digits.
    max_body: Count = 262_144
    # Where CPU-bound work is done: in own processes, which use all
    # cores.
    executor: Annotated[
        Literal["process", "thread", "dask"],
        Field(description="process, thread or dask"),
    ] = "process"
    # The scheduler of a Dask cluster. None: a cluster on this machine.
    dask_scheduler: Annotated[Address | None, Field(description="tcp://host:port")] = (
        None
    )
    # FastAPI's OpenTelemetry, for whoever collects it. It takes time of
    # each request, even where nobody does.
    telemetry: Annotated[Literal["on", "off"], Field(description="on or off")] = "off"
    # Whether there is a page that shows the engine at work, and the
    # stream of events from which it learns.
    live: Annotated[Literal["on", "off"], Field(description="on or off")] = "on"
    # Open streams of tasks' events: each holds a connection, and some
    # 30 KB with it.
    max_streams: Count = 1000

    def __post_init__(self) -> None:
        values = vars(self)
        try:
            _Checked(**values)
        except ValidationError as error:
            fault, *_ = error.errors()
            name, *_ = map(str, fault["loc"])
            words = _Checked.model_fields[name].description
            raise SettingsError(
                f"{_variable(name)} must be {words}; got {values[name]!r:.40}"
            ) from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Settings from the environment's TASKMANAGER_<NAME>.

        An empty value counts as unset.

        Raises SettingsError.
        """
        variables = {_variable(field.name): field for field in dataclasses.fields(cls)}
        values = {}
        for variable, field in variables.items():
            text = environ.get(variable, "").strip()
            if text:
                values[field.name] = _parse(field, text)

        settings = cls(**values)

        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in variables:
                logger.warning("unknown setting %s is ignored", name)
        return settings


# The same fields, as a model that checks them.
_Checked: Any = create_model(
    "_Checked", **get_type_hints(Settings, include_extras=True)
)


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _parse(field: "dataclasses.Field[Any]", text: str) -> Any:
    """The value; or the text, which no field of another kind takes."""
    if field.name == "rate_limit" and text.lower() == "off":
        return None
    # int and float would read other digits as well, and 1_0 as 10.
    if not text.isascii() or "_" in text:
        return text

    try:
        match field.default:
            case int():
                return int(text)
            case float():
                return float(text)
    except ValueError:
        return text

    if field.name in ("executor", "telemetry", "live"):
        return text.lower()
    return text
