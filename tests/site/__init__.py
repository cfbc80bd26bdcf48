"""The site, played: ``.ci/run site``, or ``python -m tests.site SITE``.

Each lesson is run from its start in Pyodide under Node, or in a
browser, and each of its cells is compared with what is committed.
"""
