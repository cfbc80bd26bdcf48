"""The proxies: what reaches a client, and what the server is told.

Rule: each is played with as little configuration as it takes, and with
what the README says is to be set. The server behind it is uvicorn, with
h11 unless the row says otherwise, which is what plain pip installs.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.interop import probes
from tests.interop.environment import HERE, ROOT, FailedError, find
from tests.interop.servers import IN_TIME, Answers, Row, seen
from tests.interop.subjects import REPORT, Address, Subject, free_port, started

FILES = HERE / "proxies"
MODULES = "/usr/lib/apache2/modules"
SERVER = "uvicorn {app} --port {port} --http {http}"

# How each is started.
COMMANDS = {
    "nginx": "nginx -e stderr -c {file}",
    "haproxy": "haproxy -db -f {file}",
    "apache2": "apache2 -D FOREGROUND -f {file}",
    "varnishd": "varnishd -F -j none -T none -n {folder} -s malloc,16M "
    "-p feature=+http2 -f {file} -a 127.0.0.1:{port} -a [::1]:{port}",
    "lighttpd": "lighttpd -D -f {file}",
    "caddy": "caddy run --adapter caddyfile --config {file}",
}
# What takes HTTP/2 at another port.
OTHER_PORT = {"nginx", "haproxy"}


class Proxy(NamedTuple):
    """A row: a proxy, whether it is set up, and the server's parser."""

    name: str
    set_up: bool
    http: str = "h11"


PROXIES: dict[str, Proxy] = {}
for _name in COMMANDS:
    PROXIES[_name] = Proxy(_name, set_up=False)
    PROXIES[f"{_name}-set"] = Proxy(_name, set_up=True)
# What no list needs, and what a poll that is left does not survive.
PROXIES["caddy-flush"] = PROXIES.pop("caddy-set")
PROXIES["nginx-httptools"] = Proxy("nginx", set_up=False, http="httptools")

ALIKE = (
    "long poll",
    "two polls of one task",
    "leaving is noticed",
    "list in pieces",
    "fields of a 202",
    "large body: 413",
    "large body: 429",
    "quota by IPv4",
    "IPv6",
    "X-Forwarded-For of a client",
    "HEAD, OPTIONS",
    "HTTP/2",
    "events",
)
STOP = (
    "an open poll, when the server stops",
    "then",
)
TABLES = {
    "What holds": ALIKE,
    "When the server behind it stops": STOP,
    "How each was started": ("command",),
}


def check(name: str) -> Callable[[Path], Row]:
    """The check that makes the row of this name."""
    return lambda folder: play(PROXIES[name], folder)


CHECKS = {name: check(name) for name in PROXIES}


def play(proxy: Proxy, folder: Path) -> Row:
    """All that is seen through a proxy."""
    limit = str(probes.LIMIT)
    app = "tests.interop.application:app"
    server = Address("127.0.0.1", free_port())
    line = SERVER.format(app=app, port=server.port, http=proxy.http)
    with (
        started(line, server, ROOT, TASKMANAGER_RATE_LIMIT=limit),
        in_front(proxy, server, folder) as (address, http2),
    ):
        subject = Subject(address, server)
        row = seen(subject, http2)
        told = probes.forged(subject, next(subject.clients))
        row["X-Forwarded-For of a client"] = told
        row["IPv6"] = probes.one_address(subject, Address("::1", address.port))
        row["large body: 429"] = probes.limited(subject)

    return {"command": COMMANDS[proxy.name]} | row | stop(proxy, folder)


def stop(proxy: Proxy, folder: Path) -> Row:
    """What a client sees when the server gets SIGTERM."""
    server = Address("127.0.0.1", free_port())
    line = SERVER.format(app="main:app", port=server.port, http=proxy.http)
    with (
        started(
            line,
            server,
            ROOT,
            TASKMANAGER_RATE_LIMIT="off",
            TASKMANAGER_WORK_SCALE="1",
        ) as process,
        in_front(proxy, server, folder) as (address, _),
    ):
        subject = Subject(address, server)
        poll = subject.poll(subject.submit(REPORT))
        if not subject.until("waiting", 1, IN_TIME):
            raise FailedError("the poll does not arrive")
        answers = Answers([poll])
        process.terminate()
        process.wait(10)
        (told,) = answers.all()

        later = subject.ask("GET", "/health")
        return {"an open poll, when the server stops": told, "then": later.told}


@contextlib.contextmanager
def in_front(
    proxy: Proxy, server: Address, folder: Path
) -> Iterator[tuple[Address, Address]]:
    """A proxy in front of a server: its addresses for HTTP/1 and 2.

    Raises MissingError.
    """
    find(proxy.name)
    address = Address("127.0.0.1", free_port())
    http2 = address
    if proxy.name in OTHER_PORT:
        http2 = Address("127.0.0.1", free_port())

    values = {
        "set": "",
        "folder": str(folder),
        "port": str(address.port),
        "http2": str(http2.port),
        "server": str(server.port),
        "modules": MODULES,
        "as_root": "user root;" if os.geteuid() == 0 else "",
    }
    if proxy.set_up:
        values["set"] = snippet(proxy.name)
    text = (FILES / f"{proxy.name}.conf").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)

    file = folder / "configuration"
    file.write_text(text, encoding="utf-8")
    line = COMMANDS[proxy.name].format(file=file, folder=folder, port=address.port)
    with started(
        line, address, folder, XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder)
    ):
        yield address, http2


def snippet(name: str) -> str:
    """The lines that a proxy is set up with."""
    return (FILES / f"{name}.set.conf").read_text(encoding="utf-8")


def snippets() -> str:
    """What is to be set, as the README shows it."""
    title = "**What to set**, each tried by the same run; Caddy needs nothing."
    parts = [
        f"`{name}`:\n\n```text\n{snippet(name)}```"
        for name in COMMANDS
        if f"{name}-set" in PROXIES
    ]
    return "\n\n".join([title, *parts])
