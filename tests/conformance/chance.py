"""Chance: whatever is random comes from one seed.

The random module, generators of its kind, the operating system's
random bytes, and with them uuid, secrets and what else is seeded by
those. Python's hashes are fixed by the environment of the process.
"""

import os
import random
from typing import Any


class Chance:
    """The random sources of this process, from now on."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)
        # How many generators have asked for a seed.
        self._seeded = 0
        self._replace()
        random.seed(seed)
        self._state = random.getstate()
        self._seeded = 0

    @property
    def was_drawn(self) -> bool:
        """Whether numbers were drawn that another seed changes."""
        return self._seeded > 0 or random.getstate() != self._state

    def _replace(self) -> None:
        source = self._source
        really_seed = random.Random.seed

        def seed(generator: Any, a: Any = None, version: int = 2) -> None:
            if a is None:
                self._seeded += 1
                a = source.getrandbits(128)
            really_seed(generator, a, version)

        def urandom(size: int) -> bytes:
            return source.randbytes(size)

        module: Any = random
        module.Random.seed = seed
        module.seed = module._inst.seed
        module._urandom = urandom
        module = os
        module.urandom = urandom
