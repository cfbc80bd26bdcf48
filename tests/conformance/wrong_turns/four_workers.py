"""Bug: the loops are numbered from one, up to but not with five.

Symptom: only four tasks are processed at a time.
Cure: range(5), and a test that counts what is in process.
"""

import asyncio

from tests.conformance.wrong_turns.honest import Honest

CAUGHT_BY = ["five_in_parallel"]


class Wrong(Honest):
    async def work(self) -> None:
        await asyncio.gather(*(self.worker() for _ in range(1, 5)))


app = Wrong().app
