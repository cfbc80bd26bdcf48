"""The notebooks, and what they share.

That is ``lab``, ``checks`` of the exercises, ``solutions``, and
``refresh``.
"""
