"""A gallery of wrong turns: ``honest`` is a small solution of the
exercise; each other module has exactly one bug more.

Each says what the bug is, how it shows, and how to cure it. CAUGHT_BY
names requirements that catch it.
"""
