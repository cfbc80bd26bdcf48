"""A gallery of wrong turns, each with exactly one bug.

``honest`` is a small solution of the exercise; each other module is the
same but for its bug. It says what the bug is, how it shows, and how to
cure it. CAUGHT_BY names requirements that catch it.
"""
