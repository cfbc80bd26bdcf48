"""What ``import lab`` finds in a browser, where this is ``lab.py``.

It is the laboratory itself, with what the site adds to it: see site.py.
"""

from IPython.core.getipython import get_ipython

from notebooks import lab as lab
from notebooks import recorded

shell = get_ipython()
if shell is not None:
    shell.register_magic_function(recorded.show, "cell", "recorded")
    # It completes names without jedi, which is large.
    shell.Completer.use_jedi = False
