"""What a cell has shown elsewhere, for a browser that cannot run it.

A browser has no sockets, processes, signals and threads. A cell that
needs one has the tag NOT_HERE in its notebook's metadata; the site
begins it with ``%%recorded NOTEBOOK CELL``, which runs nothing, says
so, and shows the outputs that the notebook was committed with.
"""

import json
from pathlib import Path
from typing import Any

# The tag of a cell that a browser does not run.
NOT_HERE = "not-in-a-browser"
WORDS = (
    "Recorded: this cell needs a process, a thread or a socket, which a browser "
    "does not give.\nIt was not run. Run on a computer, it has shown:"
)


def show(line: str, cell: str) -> None:
    """The magic: show what ``line`` names, in place of ``cell``."""
    from IPython.display import display

    name, identity = line.split()
    print(WORDS)
    for output in outputs_of(name, identity):
        if output["output_type"] == "stream":
            print("".join(output["text"]), end="")
        else:
            display(
                {kind: _joined(data) for kind, data in output["data"].items()},
                metadata=output["metadata"],
                raw=True,
            )


def outputs_of(name: str, identity: str) -> list[dict[str, Any]]:
    """What this cell of this notebook has shown."""
    path = Path(__file__).with_name("recorded.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    outputs: list[dict[str, Any]] = recorded[name][identity]
    return outputs


def _joined(data: Any) -> Any:
    return "".join(data) if isinstance(data, list) else data
