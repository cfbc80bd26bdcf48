"""Interoperability: other people's tools, on what this project serves.

``python -m tests.interop`` lists what there is to play, and
``python -m tests.interop install`` gets what that needs, pinned in
requirements.txt and package.json, into ``.interop/`` in the project.
None of it is part of the default tests, or of continuous integration.

Rule: whatever cannot be played here is said to be so, and is a failure,
never a pass. From the bottom:

environment  where the tools are, how to get them, and how to run one
tools        OpenAPI: linters, a mock, a validating proxy, and clients
             that are generated; their programs are in ``clients/``
"""
