"""A simulation: days of the real application, each made from a seed.

It runs on virtual time, a day in about a second, and the same seed
always makes the same day.

Rule: whatever a client may see is predicted by a plain model and held
against the answer; a seed that breaks an invariant says so in words,
and ``python -m tests.simulation --seed N`` plays the same day again.
From the bottom:

journal       what has happened: the last steps, in words, and how
              often what; InvariantError
clock         the event loop: time jumps, exactly, and in an order that
              every Python version agrees on
work          tasks whose end is known beforehand, and handlers with
              bad habits
job           what the model knows of a task and of a long poll, and
              what is to be seen of them
loops         the background loops: which have died, and when they are
              started again
model         what the engine has to do: the tasks, their order and
              their ends, the records
quota         the rate limit, by counting
wire          one request into the application
requests      each kind of request, with what has to be answered
surroundings  its log is heard, its handlers have bad habits, and its
              loops can die
traffic       what the clients do, chosen by the seed
day           plays one seed
faults        small faults to patch into the engine, which the
              simulation has to find
"""
