"""The command that plays other people's tools, without those tools.

What it finds with them is no part of the default tests.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.interop import __main__ as command
from tests.interop import environment, probes, proxies, servers, tables, tools
from tests.interop.subjects import Address, Subject, free_port, started


def test_what_is_missing_is_told_with_how_to_get_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(environment, "PLACE", tmp_path / "nothing")
    assert command.main(["tools"]) == 2
    assert "python -m tests.interop install" in capsys.readouterr().err

    monkeypatch.setenv("PATH", "")
    assert command.main(["install"]) == 2
    assert "npm" in capsys.readouterr().err


def test_tools_of_another_version_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "PLACE", tmp_path)
    with pytest.raises(environment.MissingError, match="install servers"):
        environment.check_installed("servers")

    for name, wanted in environment.ENVIRONMENTS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / wanted.name).write_bytes(wanted.read_bytes())
    packages = environment.PACKAGES
    (tmp_path / packages.name).write_bytes(packages.read_bytes())
    for group in environment.NEEDS:
        environment.check_installed(group)

    (tmp_path / "package.json").write_text("{}", encoding="utf-8")
    environment.check_installed("proxies")
    with pytest.raises(environment.MissingError, match=r"package\.json"):
        environment.check_installed("tools")


def test_an_unknown_name_is_told_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as error:
        command.main(["tools", "redocly", "nosuch"])
    assert error.value.code == 2

    said = capsys.readouterr().err
    assert "'nosuch'" in said
    assert all(name in said for name in tools.CHECKS)


def test_what_fails_is_told_and_the_rest_still_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(folder: Path) -> None:
        environment.run(sys.executable, "-c", "print(6 * 7); 1 / 0", folder=folder)

    def succeed(folder: Path) -> None:
        assert (folder / "prepared").exists()

    group = command.Group(
        what="two checks",
        prepare=lambda folder: (folder / "prepared").touch(),
        checks={"first": fail, "second": succeed},
    )
    monkeypatch.setitem(command.GROUPS, "tools", group)
    monkeypatch.setattr(command, "PLACE", tmp_path)
    monkeypatch.setattr(command, "check_installed", lambda group: None)

    assert command.main(["tools"]) == 1
    said = capsys.readouterr().out
    assert re.search("first +FAILED, FailedError: .*\n42\n", said)
    assert "ZeroDivisionError" in said
    assert re.search("second +ok", said)
    assert not list(tmp_path.iterdir())

    assert command.main(["tools", "second"]) == 0


def test_a_table_has_what_was_run_and_says_what_was_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(folder: Path) -> dict[str, str]:
        raise environment.MissingError("nginx is missing: apt install nginx")

    def broken(folder: Path) -> dict[str, str]:
        raise environment.FailedError("what it printed")

    group = command.Group(
        what="four checks",
        prepare=command.nothing,
        checks={
            "good": lambda folder: {"poll": "yes", "list": "all at the end"},
            "missing": missing,
            "broken": broken,
            "left-out": broken,
        },
        tables={"One": ("poll", "list"), "Two": ("stop",)},
        last=lambda: "What comes last.",
    )
    monkeypatch.setitem(command.GROUPS, "proxies", group)
    monkeypatch.setattr(command, "PLACE", tmp_path)
    monkeypatch.setattr(command, "check_installed", lambda group: None)
    monkeypatch.setattr(tables, "_versions", lambda group: ["nginx 1.22.1"])
    file = tmp_path / "README.md"
    file.write_text("before\n<!-- proxies -->\n<!-- end of proxies -->\nafter\n")

    names = ["good", "missing", "broken"]
    assert command.main(["proxies", *names, "--table", str(file)]) == 1
    text = file.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("What comes last.\n\n<!-- end of proxies -->\nafter\n")
    one, two = text.split("**One**")[1].split("**Two**")
    assert one.strip().splitlines() == [
        "| | poll | list |",
        "|---|---|---|",
        "| good | yes | all at the end |",
        "| missing | not run: nginx is missing: apt install nginx | |",
        "| broken | not run: FailedError | |",
        "| left-out | not run | |",
    ]
    # It has nothing to say of what that table is about.
    assert "| good |" not in two
    said = capsys.readouterr().out
    assert "list: all at the end" in said
    assert "what it printed" in said

    # The same again, but for its date.
    assert command.main(["proxies", *names, "--table", str(file)]) == 1
    assert file.read_text(encoding="utf-8") == text
    assert command.main(["proxies", "missing"]) == 2


def test_a_file_without_marks_gets_no_table(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("nothing")
    with pytest.raises(ValueError, match="<!-- servers -->"):
        tables.write(file, "servers", {}, {}, "")


def test_the_readme_has_a_mark_for_each_group_with_a_table() -> None:
    text = (environment.HERE / "README.md").read_text(encoding="utf-8")
    for name, group in command.GROUPS.items():
        assert (f"<!-- {name} -->" in text) == bool(group.tables)


@pytest.mark.parametrize("name", proxies.COMMANDS)
def test_each_proxy_has_a_configuration_and_what_to_set(name: str) -> None:
    text = (proxies.FILES / f"{name}.conf").read_text(encoding="utf-8")
    assert "{set}" in text
    assert "{server}" in text
    assert proxies.snippet(name).startswith("#")
    assert name in environment.DEBIAN


@pytest.mark.parametrize("name", servers.SERVERS)
def test_each_server_listens_where_it_is_told(name: str) -> None:
    server = servers.SERVERS[name]
    line = servers.command(server, Address("::1", 8000), "main:app")
    assert "main:app" in line
    assert "::1" in line
    assert "8000" in line
    assert "/run/x" in servers.command(server, Address("/run/x", 0), "main:app")


@pytest.mark.slow
def test_the_probes_see_what_uvicorn_keeps() -> None:
    address = Address("127.0.0.1", free_port())
    subject = Subject(address, address)
    line = f"{sys.executable} -m uvicorn tests.interop.application:app"
    folder = environment.ROOT
    limit = str(probes.LIMIT)
    line = f"{line} --port {address.port}"
    with started(line, address, folder, TASKMANAGER_RATE_LIMIT=limit) as process:
        row = servers.seen(subject, None)
        assert row.pop("HTTP/2") == "no"
        row.pop("events")
        assert set(row.values()) == {"yes"}, row
    assert process.poll() is not None


def test_what_serves_has_ended_when_its_block_does(tmp_path: Path) -> None:
    program = "import os, time; print('ready', os.getpid(), flush=True); time.sleep(60)"
    command_line = (sys.executable, "-c", program)
    with environment.running(*command_line, folder=tmp_path, until="ready") as process:
        assert process.poll() is None
    assert process.poll() is not None

    ends = (sys.executable, "-c", "print('a fault')")
    with (
        pytest.raises(environment.FailedError, match="a fault"),
        environment.running(*ends, folder=tmp_path, until="ready"),
    ):
        pass


def test_each_tool_is_pinned_by_its_exact_version() -> None:
    packages = json.loads(environment.PACKAGES.read_text(encoding="utf-8"))
    for version in packages["dependencies"].values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)

    for file in environment.ENVIRONMENTS.values():
        lines = file.read_text(encoding="utf-8").splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert pins
        assert all(re.fullmatch(r"[\w-]+==\d+(\.\d+)+", pin) for pin in pins)
