"""What you would use instead: one file for each, as its docs have it.

Each has the job and the library's settings, so that a worker imports no
more than that. Its defaults stay, but for the concurrency: five.

job               the work that each of them is given
front             the same two routes in front of each: FastAPI and
                  slowapi
background_tasks  Starlette's background tasks, in the web process
with_*            a queue in another process, and workers in a third
"""
