"""Cells that show something else in a browser, each with its reason.

A cell is named by its lesson and its first line. Cells with the tag
"not-in-a-browser", and those that use what these would have found, are
not listed: they say themselves that they show what was recorded.
"""

# Their text differs.
DIFFERS: dict[tuple[str, str], str] = {
    ("04-backpressure-and-priorities", "async def crowd(spread: float) -> Counter:"): (
        "It shows the same as Python 3.13 on a computer: there, what is ready at one "
        "instant runs in another order than on 3.11, which has made the notebooks."
    ),
}
# Theirs differs in a browser alone: under Node, the clock is as fine
# as on a computer.
IN_A_BROWSER: dict[tuple[str, str], str] = {
    (
        "09-cleanup-and-frozen-time",
        'states = {True: "awake", False: "still asleep after 1,000 turns"}',
    ): (
        "tick(600) wakes the sleeper: the resolution of the clock is a microsecond "
        "there, and is not lost at 1.8 billion seconds. The text says so."
    ),
}
# They measure what runs them: figures differ, words do not.
MEASURED: set[tuple[str, str]] = {
    ("11-load", "async def health(app):"),
    ("11-load", "async def once_and_twice(asking):"),
    ("11-load", "def directly(app):"),
    ("14-outgrowing-one-process", "async def wait():"),
    ("14-outgrowing-one-process", "def report(name):"),
    ("15-outgrowing-one-machine", "async def wait():"),
    ("15-outgrowing-one-machine", "def report(name):"),
}
