"""The notebooks, and what they share.

That is ``lab``, with its ``patience``; ``checks`` of the exercises, and
``solutions``; and two commands, ``refresh`` and ``minutes``.
"""
