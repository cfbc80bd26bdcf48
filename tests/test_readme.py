"""The README does not rot: its session, its code, its tables and its
steps are run, or held against the code.
"""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskmanager.settings import Settings
from tests import readme

TEXT = readme.README.read_text(encoding="utf-8")
VARYING = [
    (readme.UUID, "ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"(?<=;t=)\d+|(?<=retry-after: )\d+|(?<=accepted in )\d+", "N"),
    (r"(?<=\"progress\":)\d\d?(?=,\"queue_position\":null,\"result\":null)", "N"),
]


def same_on_every_run(text: str) -> str:
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


@pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("curl"),
    reason="the session needs a shell and curl",
)
def test_the_session_prints_what_the_readme_shows() -> None:
    shown = readme.session(TEXT)
    with readme.server(WORK_SCALE="0.1") as address:
        assert same_on_every_run(
            readme.run_session(shown, address)
        ) == same_on_every_run(shown)


def test_the_python_program_prints_what_the_readme_says() -> None:
    program = re.search(
        r"```python\n(import asyncio.*?)```\n\nIt prints `(.*?)`", TEXT, re.DOTALL
    )
    assert program is not None
    command = [sys.executable, "-c", program[1]]
    run = subprocess.run(
        command, cwd=readme.ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == program[2]


def test_the_table_of_modules_is_up_to_date() -> None:
    assert readme.modules_table() in TEXT, "run python -m tests.readme"


def test_the_table_of_settings_has_every_default() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) \|", TEXT, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {
        field.name.upper(): field.default
        for field in dataclasses.fields(Settings)
        if isinstance(field.default, int | float)
    }


def test_both_commands_set_up_the_same_environment() -> None:
    commands = re.findall(r"```sh\n(.*) && (.*)\n```", TEXT)
    assert [before for before, _ in commands] == [commands[0][0]] * 2
    assert [last for _, last in commands] == [
        ".venv/bin/python main.py",
        ".venv/bin/python -m pytest",
    ]


def test_the_steps_that_add_a_task_type_add_one(tmp_path: Path) -> None:
    shutil.copytree(readme.ROOT / "taskmanager", tmp_path / "taskmanager")
    file = tmp_path / "taskmanager" / "task_types.py"
    steps = re.findall(
        r"^\d\. .+?before the line `(.+?)`:\n\n   ```python\n(.*?)^   ```",
        TEXT,
        re.M | re.S,
    )
    assert len(steps) == 2
    for line, code in steps:
        text = file.read_text(encoding="utf-8")
        assert text.count(f"\n{line}\n") == 1
        added = "".join(row[3:] or "\n" for row in code.splitlines(keepends=True))
        file.write_text(
            text.replace(f"\n{line}\n", f"\n{added}{line}\n"), encoding="utf-8"
        )
    program = """
import asyncio
from taskmanager import Settings, TaskManager
from taskmanager.schemas import EXAMPLES

async def main():
    async with TaskManager(Settings(work_scale=0)) as manager:
        task = manager.submit(EXAMPLES["reverse_text"]["value"])
        await manager.wait(task.task_id, since=2)
        print(task.status.value, task.result)

asyncio.run(main())
"""
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "completed {'text': 'desserts'}\n"
