"""``import lab`` at the root of the project: that of the notebooks.

Jupyter and VS Code start a notebook in its own folder, where Python
finds ``notebooks/lab.py`` by this name. One that starts here, as in
some editors, gets the same.
"""

import sys

from notebooks import lab

sys.modules[__name__] = lab
