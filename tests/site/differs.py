"""Cells that show something else in a browser, each with its reason.

A cell is named by its lesson and its first line.
"""

# Their text differs.
DIFFERS: dict[tuple[str, str], str] = {}
# They measure the machine that runs them: figures differ, words do not.
MEASURED: set[tuple[str, str]] = set()
