"""The notebooks, and what they share.

That is ``lab``, with its ``patience``; ``checks`` of the exercises, and
``solutions``; and commands: ``refresh``, ``minutes`` and ``graph``, and
``score`` for teachers.
"""
