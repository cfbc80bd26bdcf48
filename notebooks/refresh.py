"""``python -m notebooks.refresh [names]``: execute notebooks in place.

Without names, all of them. A run that shows the same changes nothing:
what differs from run to run, such as times and the ids of cells, is not
kept. What follows a prediction is folded, so that nobody sees it first.
"""

import argparse
import asyncio
import html
import re
import sys
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
# What a widget leaves: nothing that shows without its kernel.
WIDGET = "application/vnd.jupyter.widget-view+json"
# A cell that says so shows nothing under an older Python.
NEWER = "if sys.version_info >= (3, 11):"
FOLDED = (
    "<details><summary>The outcome: run the cell, or click here</summary>"
    "<pre>{}</pre></details>"
)


def names() -> list[str]:
    """All notebooks, by listing the folder."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


async def executed(name: str) -> Any:
    """The notebook after a run in order, in a new kernel.

    A cell for which this Python is too old keeps what it showed. Raises
    nbclient's CellExecutionError.
    """
    notebook = read(name)
    client = NotebookClient(
        notebook,
        timeout=120,
        record_timing=False,
        kernel_name="python3",
        # Else each kernel says that it listens on loopback without
        # encryption.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(FOLDER)}},
    )
    await client.async_execute()

    if sys.version_info < (3, 11):
        for cell, before in zip(notebook.cells, read(name).cells, strict=True):
            if NEWER in cell.source:
                cell.outputs = before.outputs
    return normalised(notebook)


def normalised(notebook: Any) -> Any:
    """The notebook without what differs from run to run.

    Consecutive pieces of one stream are joined. Widgets and their state
    are left out.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if "outputs" in cell:
            cell.outputs = _joined(cell.outputs)

    for cell in outcomes(notebook):
        cell.outputs = [_folded(output) for output in cell.outputs]
    return notebook


def outcomes(notebook: Any) -> list[Any]:
    """The code cells which show what was to be predicted.

    They stand between a text that says "Predict" and the next text.
    """
    found = []
    predicting = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            predicting = "**Predict" in cell.source
        elif predicting:
            found.append(cell)
    return found


def text_of(output: Any) -> str:
    """What an output says, without its form."""
    text: str = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return text


def _folded(output: Any) -> Any:
    """The same output, to be opened with a click.

    JupyterLab, VS Code and nbviewer show HTML so; the metadata by which
    a cell can be folded is for JupyterLab alone. A learner that runs it
    sees a plain output.
    """
    if "image/svg+xml" in output.get("data", {}):
        return output
    text = text_of(output)
    return nbformat.v4.new_output(
        "display_data",
        data={
            "text/html": FOLDED.format(html.escape(text, quote=False)),
            "text/plain": text,
        },
    )


def _joined(outputs: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        last: Any = joined[-1] if joined else {}
        is_text = output.output_type == "stream"
        if is_text and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def count_lines(text: str) -> str:
    """The text, with the number of lines that its files have now.

    Each "[`file`](path), N lines" is such a count.
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

    text = nbformat.writes(notebook) + "\n"
    (FOLDER / f"{name}.ipynb").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m notebooks.refresh", description="Execute notebooks in place."
    )
    parser.add_argument(
        "names", nargs="*", metavar="name", help="such as 00-tour (default: all)"
    )
    chosen = parser.parse_args().names or names()

    unknown = sorted(set(chosen) - set(names()))
    if unknown:
        there_are = f"there are {', '.join(names())}"
        parser.error(f"no notebook is called {', '.join(unknown)}; {there_are}")

    for number, name in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name} ", end="", flush=True)
        begun = time.perf_counter()
        refresh(name)
        seconds = time.perf_counter() - begun
        size = (FOLDER / f"{name}.ipynb").stat().st_size
        print(f"{seconds:.1f} s, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
