"""The live page in a browser.

``python -m tests.live install`` gets axe and prettier with npm, into
``.live/``; the browser is the Chromium of this machine, driven by
Playwright (tests/live/requirements.txt). ``python -m pytest -m live``
plays the page then, and keeps what it looks like in
``.live/pictures/``. ``python -m tests.live picture`` takes the picture
at the head of the README.
"""
