"""Every benchmark runs, in its smallest size, with all its checks; reports are written, and failures are loud."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import NAMES, run
from benchmarks.harness import Bench, CheckFailedError, Table, percentile, shown
from tests.conftest import project_root


@pytest.mark.filterwarnings("default")  # the peers, where they are installed, warn as they like
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_its_smallest_size(name: str) -> None:
    bench = run(name, "quick")
    assert bench.tables
    assert all(len(row) == len(table.header) for table in bench.tables for row in table.rows)
    assert all(points for chart in bench.charts for points in chart.series.values())


def test_every_subject_has_its_benchmark() -> None:
    assert NAMES == ["cleanup", "concurrency", "dispatch", "growth", "list", "poll", "ratelimit", "submit"]


async def test_measurements_alternate_and_ratios_are_taken_round_by_round() -> None:
    log: list[str] = []
    speeds = {"a": iter([9.0, 1.0, 2.0, 4.0]), "b": iter([9.0, 2.0, 2.0, 12.0])}  # the first of each is the warm-up

    async def sample(name: str) -> float:
        log.append(name)
        return next(speeds[name])

    figures = await Bench("test", "default").measure({"a": lambda: sample("a"), "b": lambda: sample("b")}, rounds=3)
    assert "".join(log) == "abababab"
    assert (figures["a"].median, figures["a"].ratio) == (2.0, 1.0)
    assert (figures["b"].median, figures["b"].ratio) == (2.0, 2.0)  # of 2, 1 and 3
    assert (figures["a"].low, figures["a"].high) == (1.5, 3.0)


def test_a_failed_check_stops_the_run_and_a_missed_target_does_not() -> None:
    bench = Bench("test", "quick")
    bench.target("speed", 3.0, at_most=2)
    bench.target("speed", 3.0, at_least=2)
    assert [target.met for target in bench.targets] == [False, True]
    with pytest.raises(CheckFailedError, match="test: a result is wrong"):
        bench.check(False, "a result is wrong")


def test_a_peer_that_is_not_installed_is_left_out_and_said() -> None:
    bench = Bench("test", "quick")
    assert bench.peer("no_such_library.module") is None
    assert bench.left_out == ["no_such_library: not installed; pip install -r benchmarks/requirements.txt"]


def test_the_nearest_rank_percentile() -> None:
    assert [percentile(range(100), percent) for percent in (0, 50, 99, 100)] == [0, 50, 99, 99]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.00"), (0.12345, "0.123"), (12.345, "12.3"), (123.45, "123"), (1234567, "1,234,567"), ("x", "x")],
)
def test_figures_have_three_digits(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_table_reads_well_in_a_terminal_too() -> None:
    assert report.markdown(Table("T", ["", "µs"], [["one", "1"], ["three", "12"]])) == (
        "**T**\n\n|       | µs |\n|-------|---:|\n| one   | 1  |\n| three | 12 |"
    )


def test_the_command_prints_and_writes_what_it_found(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "dispatch", "--quick", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=True, timeout=60)
    assert "**What the engine is to reach**" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["command"].startswith("python -m benchmarks dispatch --quick")
    assert found["environment"]["versions"]["fastapi"]
    assert [each["name"] for each in found["benchmarks"]] == ["dispatch"]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    command = [sys.executable, "-m", "benchmarks", "disptach"]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no benchmark is called disptach; there are cleanup, " in done.stderr


def test_the_pictures_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the pictures need benchmarks/requirements.txt")
    from benchmarks import plots

    charts = run("dispatch", "quick").charts + run("list", "quick").charts
    first, second = plots.draw(charts, tmp_path / "a"), plots.draw(charts, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert all(b"<svg" in path.read_bytes() for path in first)
