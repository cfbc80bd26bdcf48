"""The command that plays other people's tools, without those tools.

What it finds with them is no part of the default tests.
"""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.interop import __main__ as command
from tests.interop import environment, tools


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
    for wanted in (environment.PACKAGES, environment.REQUIREMENTS):
        (tmp_path / wanted.name).write_bytes(wanted.read_bytes())
    environment.check_installed()

    (tmp_path / "package.json").write_text("{}", encoding="utf-8")
    with pytest.raises(environment.MissingError, match=r"package\.json"):
        environment.check_installed()


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
    monkeypatch.setattr(command, "check_installed", lambda: None)

    assert command.main(["tools"]) == 1
    said = capsys.readouterr().out
    assert re.search("first +FAILED, FailedError: .*\n42\n", said)
    assert "ZeroDivisionError" in said
    assert re.search("second +ok", said)
    assert not list(tmp_path.iterdir())

    assert command.main(["tools", "second"]) == 0


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

    lines = environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[\w-]+==\d+(\.\d+)+", pin) for pin in pins)
