"""``python -m notebooks.graph``: which lesson builds on which.

Each says so in its first cell: "It builds on ...". This draws a graph
of that into README.md, which GitHub shows as a picture.
"""

import re

from notebooks.refresh import FOLDER, names, read

SAYS = re.compile(r"^It builds on (.*)\.$", re.MULTILINE)
LINK = re.compile(r"\]\((\d\d-[\w-]+)\.ipynb\)")
DRAWN = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def builds_on() -> dict[str, list[str]]:
    """For each lesson, those that its first cell names."""
    found = {}
    for name in names():
        cell, *_ = read(name).cells
        (said,) = SAYS.findall(cell.source)
        found[name] = LINK.findall(said)
    return found


def drawn() -> str:
    """The graph, in the language of Mermaid."""
    lines = ["graph LR"]
    for name, earlier in builds_on().items():
        number, _, title = name.partition("-")
        lines.append(f'  n{number}["{number} {title.replace("-", " ")}"]')
        lines += [f"  n{each[:2]} --> n{number}" for each in earlier]
    return "\n".join(lines) + "\n"


def with_graph(page: str) -> str:
    """README.md, with the graph as its lessons say it now."""
    graph = drawn()
    return DRAWN.sub(lambda _: graph, page, count=1)


def main() -> None:
    path = FOLDER / "README.md"
    page = path.read_text(encoding="utf-8")
    path.write_text(with_graph(page), encoding="utf-8")
    print(drawn(), end="")


if __name__ == "__main__":
    main()
