"""``python -m notebooks.refresh [names]``: execute notebooks in place.

Without names, all of them. A run that shows the same changes nothing:
what differs from run to run, such as times and the ids of cells, is not
kept.
"""

import argparse
import asyncio
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def names() -> list[str]:
    """All notebooks, by listing the folder."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


async def executed(name: str) -> Any:
    """The notebook after a run in order, in a new kernel. Raises
    nbclient's CellExecutionError.
    """
    notebook = read(name)
    client = NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        kernel_name="python3",
        # else each kernel says that it listens on loopback without
        # encryption
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(FOLDER)}},
    )
    return normalised(await client.async_execute())


def normalised(notebook: Any) -> Any:
    """The notebook without what differs from run to run, and with
    consecutive pieces of one stream joined.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
        outputs: list[Any] = []
        for output in cell.get("outputs", []):
            if (
                outputs
                and output.output_type == "stream"
                and outputs[-1].get("name") == output.name
            ):
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        if "outputs" in cell:
            cell.outputs = outputs
    return notebook


def count_lines(text: str) -> str:
    """The text, where each "[`file`](path), N lines" says how many
    lines the file has now.
    """

    def counted(found: "re.Match[str]") -> str:
        lines = (FOLDER / found[2]).read_text(encoding="utf-8").count("\n")
        return f"{found[1]}{lines} lines"

    return re.sub(r"(\]\((\.\./\w+/\w+\.py)\),\s)\d+ lines", counted, text)


def refresh(name: str) -> None:
    notebook = asyncio.run(executed(name))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = count_lines(cell.source)
    (FOLDER / f"{name}.ipynb").write_text(
        nbformat.writes(notebook) + "\n", encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.refresh", description="Execute notebooks in place."
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help="such as 00-tour (default: all)"
    )
    chosen = parser.parse_args().names or names()
    if unknown := sorted(set(chosen) - set(names())):
        parser.error(
            f"no notebook is called {', '.join(unknown)}; there are {', '.join(names())}"
        )
    for number, name in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name} ", end="", flush=True)
        begun = time.perf_counter()
        refresh(name)
        size = (FOLDER / f"{name}.ipynb").stat().st_size
        print(f"{time.perf_counter() - begun:.1f} s, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
