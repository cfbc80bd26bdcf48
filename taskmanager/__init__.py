"""A rate-limited asynchronous task manager with polling, all in memory.

Read the modules in this order; each imports only from those above it:

settings    what can be set, each default with its reason
errors      what can go wrong, and what each failure of a task is called
sieve       the CPU-bound work: counting primes, a segment at a time
task_types  for each task type: what it accepts, and what it does
task        Task, its states, and the one method that changes them
logs        one JSON object a line, and no waiting for its reader
pending     PendingQueue: bounded, in order of priority
store       TaskStore: every task, by id and in order
ratelimit   SlidingWindow: at most so many requests in any window
supervisor  starts a loop again when it dies
executors   where CPU-bound work is done: processes, threads, Dask
workers     WorkerPool: N loops, each with a task at a time
cleanup     forgets what has been finished, or idle, for long enough
estimate    when can a task be expected to be done?
manager     TaskManager: submit, get, wait, list, cancel
listing     the tasks as a stream of JSON, while others are served

Up to here nothing knows HTTP: a TaskManager works in a notebook. These
do:

events      states that are pushed to whoever reads a stream of them
accept      which form of an answer a client likes best
schemas     what responses look like, for the OpenAPI document
problems    errors become responses
routing     checks what a route takes, and calls its endpoint
middleware  the rate limit, then the body limit
openapi     what FastAPI's document would leave out or get wrong
stopping    hears that the server is told to stop, in time to wake all
watch       the routes of a task's events, of the board and its page
api         create_app and its routes

Nothing here imports client (which needs httpx) or testing, and only
EXECUTOR=dask has dask_executor imported (which needs distributed).
"""

from taskmanager.manager import TaskManager as TaskManager
from taskmanager.settings import Settings as Settings

__version__ = "2.0.0"
