"""What ``import lab`` finds in a browser, where this is ``lab.py``.

It is the laboratory itself, with what the site adds to it: site.py puts
it there.
"""

import asyncio
import sys
from typing import Any

from IPython.core.getipython import get_ipython

from notebooks import lab as lab
from notebooks.recorded import Recorder
from taskmanager.testing import LoneLoop

# Python's own asks for a socket, by which other threads could wake it.
# And a new one of Pyodide's takes the place of the one that runs.
asyncio.SelectorEventLoop = LoneLoop
asyncio.new_event_loop = LoneLoop
# httpx asks at each request whether it runs in trio, by this import.
# What is missing would be looked for each time, in every folder.
missing: dict[str, Any] = {"sniffio": None}
sys.modules.update(missing)

shell = get_ipython()
if shell is not None:
    Recorder(shell)
    # It completes names without jedi, which is large.
    shell.Completer.use_jedi = False
