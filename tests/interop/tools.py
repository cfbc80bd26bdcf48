"""OpenAPI tools, on the document that a running server shows.

Rule: each check raises FailedError with what a tool has said, and gets
a fresh folder in which openapi.json stands. The clients that are
generated play the programs of ``clients/``, each against a new server:
submit, wait, list, and the errors 400, 404, 409, 422 and 429.
"""

import contextlib
import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.load import server
from tests.helpers import SUM
from tests.interop.environment import HERE, PLACE, FailedError, run, running

CLIENTS = HERE / "clients"
DOCUMENT = "openapi.json"
JSON = "application/json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
# All that /health takes is GET: there is nothing to get wrong, and no
# limit. So it has no response of the class 4XX.
NO_4XX = {DOCUMENT: {"operation-4xx-response": ["#/paths/~1health/get/responses"]}}


def redocly(folder: Path) -> None:
    """Its recommended rules, warnings included."""
    ignored = folder / ".redocly.lint-ignore.yaml"
    ignored.write_text(json.dumps(NO_4XX), encoding="utf-8")

    options = ["--extends=recommended", "--format=json"]
    printed = run("redocly", "lint", DOCUMENT, *options, folder=folder)
    begin = printed.index("{")
    verdict, _ = json.JSONDecoder().raw_decode(printed, begin)
    if verdict["totals"]["errors"] or verdict["totals"]["warnings"]:
        raise FailedError(printed)


def spectral(folder: Path) -> None:
    """Its rules for OpenAPI, hints included."""
    rules = folder / "rules.json"
    rules.write_text('{"extends": [["spectral:oas", "recommended"]]}', encoding="utf-8")
    run(
        *("spectral", "lint", DOCUMENT, "--ruleset", rules.name),
        "--fail-severity=hint",
        folder=folder,
    )


def prism(folder: Path) -> None:
    """Its mock answers each example; its proxy refuses no answer."""
    with _listening(folder, "mock") as url:
        for each in _examples(_document(folder)):
            prefer = f"code={each.status}, example={each.name}"
            headers = {"Prefer": prefer, "Accept": each.media_type}
            got = _request(each.method, url + each.path, headers)
            if got != (each.status, each.media_type, each.value):
                raise FailedError(f"{each}: {got}")

    with (
        server(work_scale=0, rate_limit=7) as port,
        _listening(folder, "proxy", f"http://127.0.0.1:{port}", "--errors") as url,
    ):
        _, _, task = _expect(202, "POST", url + "/tasks")
        for accepted in ("application/json", LINES):
            _expect(200, "GET", url + "/tasks", {"Accept": accepted})
        path = f"{url}/tasks/{task['task_id']}"
        _expect(200, "GET", path + "?wait=true&since=2")
        _expect(409, "DELETE", path)
        _expect(404, "GET", f"{url}/tasks/00000000-0000-4000-8000-000000000000")
        _expect(200, "GET", url + "/health")
        _expect(200, "GET", url + "/tasks?status=failed")
        _expect(429, "GET", url + "/tasks")


def swagger_ui(folder: Path) -> None:
    """Its page shows each example, and makes up nothing."""
    for path in (CLIENTS / "swagger_ui.mjs", HERE / "package.json"):
        shutil.copy(path, folder)
    _link_packages(folder)
    printed = run("node", "swagger_ui.mjs", folder=folder)
    shown = json.loads((folder / "shown.json").read_text(encoding="utf-8"))

    # Of several examples the page shows the first, until asked, and of
    # several media types JSON.
    first: dict[tuple[str, str, int], Example] = {}
    for each in _examples(_document(folder)):
        key = (each.method, each.path, each.status)
        known = first.setdefault(key, each)
        if each.media_type == JSON and known.media_type != JSON:
            first[key] = each

    # A response without content, such as 204, has nothing to show.
    shown = [value for value in shown if value is not None]
    if shown != [each.value for each in first.values()]:
        raise FailedError(f"{printed}\nIt shows {shown}")


def openapi_python_client(folder: Path) -> None:
    """A client of httpx and attrs, its types checked by mypy."""
    run(
        *("openapi-python-client", "generate", "--path", DOCUMENT),
        *("--meta", "none", "--output-path", "task_manager_client"),
        "--fail-on-warning",
        folder=folder,
    )
    _play_python(folder, "openapi_python_client.py")


def datamodel_code_generator(folder: Path) -> None:
    """Models of pydantic, their types checked by mypy."""
    run(
        *("datamodel-codegen", "--input", DOCUMENT, "--input-file-type", "openapi"),
        *("--output-model-type", "pydantic_v2.BaseModel", "--output", "models.py"),
        *("--use-annotated", "--set-default-enum-member"),
        *("--formatters", "builtin"),
        folder=folder,
    )
    _play_python(folder, "datamodel_code_generator.py")


def openapi_fetch(folder: Path) -> None:
    """Types of openapi-typescript, used by openapi-fetch.

    Without the option, it takes whatever has a default as required,
    which a submission need not have.
    """
    run(
        *("openapi-typescript", DOCUMENT, "--output", "schema.d.ts"),
        "--default-non-nullable=false",
        folder=folder,
    )
    _play_typescript(folder, "openapi_fetch.ts")


def hey_api(folder: Path) -> None:
    """Functions of @hey-api/openapi-ts."""
    shutil.copy(CLIENTS / "openapi-ts.config.mjs", folder)
    run("openapi-ts", folder=folder)
    _play_typescript(folder, "hey_api.ts")


CHECKS: dict[str, Callable[[Path], None]] = {
    "redocly": redocly,
    "spectral": spectral,
    "prism": prism,
    "swagger-ui": swagger_ui,
    "openapi-python-client": openapi_python_client,
    "datamodel-code-generator": datamodel_code_generator,
    "openapi-fetch": openapi_fetch,
    "hey-api": hey_api,
}


def prepare(folder: Path) -> None:
    """Write down the document of a server with default settings."""
    with (
        server() as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json") as answer,
    ):
        (folder / DOCUMENT).write_bytes(answer.read())


# The mock and the proxy


@contextlib.contextmanager
def _listening(folder: Path, *command: str) -> Iterator[str]:
    """Prism on a free port; yields its URL."""
    kind, *others = command
    with socket.create_server(("127.0.0.1", 0)) as free:
        _, port = free.getsockname()

    with running(
        *("prism", kind, DOCUMENT, *others, "--port", str(port)),
        folder=folder,
        until="Prism is listening",
    ):
        yield f"http://127.0.0.1:{port}"


class Example(NamedTuple):
    """An example of the document, and where it stands."""

    method: str
    path: str
    status: int
    media_type: str
    name: str
    value: Any


def _document(folder: Path) -> Any:
    return json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))


def _examples(document: Any) -> Iterator[Example]:
    for path, methods in document["paths"].items():
        filled = path.format(task_id="1b4e28ba-2fa1-41d2-883f-0016d3cca427")
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    for name, example in content["examples"].items():
                        yield Example(
                            method.upper(),
                            filled,
                            int(status),
                            media_type,
                            name,
                            example["value"],
                        )


def _expect(
    status: int, method: str, url: str, headers: dict[str, str] | None = None
) -> tuple[int, str, Any]:
    answer = _request(method, url, headers or {})
    found, _, body = answer
    if found != status:
        raise FailedError(f"{method} {url}: {found} {body}")
    return answer


def _request(method: str, url: str, headers: dict[str, str]) -> tuple[int, str, Any]:
    """The status, the media type, and the body, parsed if JSON."""
    data = None
    if method == "POST":
        data = json.dumps(SUM).encode()
        headers = headers | {"Content-Type": "application/json"}

    request = urllib.request.Request(url, data, headers, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        body: Any = answer.read().decode()
        media_type = answer.headers["Content-Type"]
        if media_type not in (LINES, EVENTS):
            body = json.loads(body)
        return answer.status, media_type, body


# Programs


def _play_python(folder: Path, program: str) -> None:
    shutil.copy(CLIENTS / program, folder)
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nplugins = pydantic.mypy\n", encoding="utf-8"
    )
    run("mypy", program, folder=folder)
    with _slow_server() as url:
        run("python", program, url, folder=folder)


def _play_typescript(folder: Path, program: str) -> None:
    for path in (CLIENTS / program, CLIENTS / "tsconfig.json", HERE / "package.json"):
        shutil.copy(path, folder)
    _link_packages(folder)

    run("tsc", "--project", ".", folder=folder)
    with _slow_server() as url:
        run("node", f"built/{Path(program).stem}.js", url, folder=folder)


def _link_packages(folder: Path) -> None:
    """Let programs of a folder import what npm has installed."""
    (folder / "node_modules").symlink_to(PLACE / "node_modules")


@contextlib.contextmanager
def _slow_server() -> Iterator[str]:
    """One that takes half a second for a sum; yields its URL."""
    with server(work_scale=0.1) as port:
        yield f"http://127.0.0.1:{port}"
