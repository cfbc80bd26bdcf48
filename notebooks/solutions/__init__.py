"""Solutions of the exercises, a module a notebook: look only after you
have tried.
"""
