"""Solutions of the exercises, a module a notebook.

Look only after you have tried.
"""
