"""The commands beside the tests: see ``tests/live/__init__.py``."""

import argparse
import io
import time

from PIL import Image

from tests.helpers import uvicorn
from tests.live.browser import ROOT, install, launched, opened

PICTURE = ROOT / "taskmanager" / "live" / "page.png"


def take_picture() -> None:
    """Take the picture of the README: the page amid its work."""
    with (
        uvicorn(RATE_LIMIT="10", WORK_SCALE="2") as server,
        launched() as browser,
        opened(
            browser,
            f"http://127.0.0.1:{server.port}/live",
            viewport={"width": 1440, "height": 800},
        ) as page,
    ):
        submissions = [
            ("normal", "generate_report"),
            ("normal", "count_primes"),
            ("normal", "simulate_failure"),
            ("high", "generate_report"),
            ("low", "generate_report"),
            ("low", "generate_report"),
            ("normal", "generate_report"),
            ("high", "compute_sum"),
        ]
        for priority, task_type in submissions:
            page.select_option("#priority", priority)
            page.click(f"[data-type={task_type}]")
            time.sleep(0.8)
        page.select_option("#priority", "normal")
        page.click("#flood")
        page.wait_for_selector("#refusal:not([hidden])")
        time.sleep(4)
        taken = Image.open(io.BytesIO(page.screenshot()))
        # It has few colours, so few are enough.
        taken.quantize(200, Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.live")
    parser.add_argument("command", choices=["install", "picture"])
    if parser.parse_args().command == "install":
        install()
    else:
        take_picture()
