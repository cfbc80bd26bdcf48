"""Grades any solution of the exercise: one command, one score card.

solution      what is graded, and what its author chose where the
              exercise leaves it open; toml reads it
virtual_time  taskmanager/testing.py, without importing ``taskmanager``
clock         virtual time for anybody's code; threads lets theirs
              follow it, chance fixes what is random
api           what a requirement does to a solution, in the words of the
              exercise
source        the files of a solution, for what cannot be seen from
              outside
requirement   one line of the card; the four groups of them are in
              endpoints, core, features, constraints
preflight     what the solution's routes, fields and states are called;
              bodies makes tasks from its OpenAPI document
scenario      one requirement, played: lifespan starts and stops the
              solution, watchdog ends what hangs, and gauge tells that
              from a busy machine
play          each requirement in a process of its own, which tells its
              verdict by answer; bytecode compiles the solution once
steps         in which order one would build a solution
card          the score card, as text, Markdown, HTML and JSON
wrong_turns   a gallery: an honest solution, and its neighbours with one
              bug each

For a class, ``python -m tests.conformance FOLDER``:

archive       takes a submission in, from a folder or a zip
submissions   which there are, and where the application is in each
environments  the Python that each is graded with
sitting       one submission, graded in a process of its own
classroom     many of them, some at a time
policy        what each line is worth, and with which numbers it plays
table         a row for each submission
letter        a short letter to the author of each
compare       two cards, or two tables: before and after
"""
