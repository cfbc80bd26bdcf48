"""A rate-limited asynchronous task manager with polling, all in memory.
A module imports only from those above it:

settings    every default with its reason; the TASKMANAGER_* variables
errors      what can go wrong, and what each failure of a task is called
executors   where CPU-bound work is done: own processes, threads, Dask
sieve       the CPU-bound work: counting primes, one segment at a time
task_types  what each task type accepts, how long it takes, what it does
task        Task, its states, and the one method that changes them
pending     PendingQueue: bounded, in order of priority
store       TaskStore: the records, in order of submission and of finishing
ratelimit   SlidingWindow: at most so many requests in any window
supervisor  starts a loop again when it dies
workers     WorkerPool: N loops, each task in an asyncio.Task of its own
cleanup     forgets what has been finished, or idle, for long enough
manager     TaskManager: submit, get, wait, list, cancel

Up to here nothing knows HTTP: ``async with TaskManager(Settings()) as
manager`` works in a notebook. Above it stand problems, middleware,
openapi, stopping and api with its ``create_app``. Nothing here imports
client, which needs httpx.
"""

from taskmanager.manager import TaskManager as TaskManager
from taskmanager.settings import Settings as Settings
