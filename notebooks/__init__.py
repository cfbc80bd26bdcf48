"""The notebooks, and what they share: ``lab``, ``checks`` of the
exercises, ``solutions``, and ``refresh``.
"""
