"""Benchmarks: what the engine costs, beside what you would use instead.

``python -m benchmarks`` runs them.

harness    how a figure is made: warm-up, interleaved rounds, medians,
           ratios, checks, the stalls of the event loop
load       requests: into an ASGI application in this process, or over
           loopback to a server in another
loopback   a route of such a server beside the same on bare FastAPI, at
           several numbers of connections
held       tasks that the engine holds while something is measured
bare       the same API's models on FastAPI alone: the reference for
           submit and poll
layers     the same routes by hand, on Starlette, on FastAPI untyped
processes  programs that end with the run: their CPU time and memory
contestants  the engine and whole alternatives to it, as programs
alternatives/  what you would use instead, a file for each
report     tables, the JSON file, and the results in README.md
plots      the pictures
bench_*    one subject each: ``async def run(bench)``, found by listing
           this folder
"""
