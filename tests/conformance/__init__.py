"""Grades any solution of the exercise: one command, one score card.

solution      what is graded, and what its author chose where the
              exercise leaves it open
virtual_time  taskmanager/testing.py, without importing ``taskmanager``
clock         virtual time for anybody's code
api           what a requirement does to a solution, in the words of the
              exercise
source        the files of a solution, for what cannot be seen from
              outside
requirement   one line of the card; the four groups of them are in
              endpoints, core, features, constraints
preflight     what the solution's routes, fields and states are called;
              bodies makes tasks from its OpenAPI document
scenario      one requirement, played: lifespan starts and stops the
              solution, watchdog ends what hangs
play          each requirement in a process of its own
card          the score card, as text, Markdown and HTML
wrong_turns   a gallery: an honest solution, and its neighbours with one
              bug each
"""
