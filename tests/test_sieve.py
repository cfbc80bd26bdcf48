"""Counting primes, against trial division and known values."""

import math

import pytest

from taskmanager import sieve


def primes_up_to(limit: int) -> int:
    return sum(all(number % divisor for divisor in range(2, math.isqrt(number) + 1)) for number in range(2, limit + 1))


@pytest.mark.parametrize("segment", [2, 10, 64, 1000])
def test_every_limit_in_segments_of_every_size(segment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "SEGMENT", segment)
    for limit in range(300):
        counted = sum(sieve.count_segment(index, limit) for index in range(limit // segment + 1))
        assert counted == primes_up_to(limit), limit


def test_known_values() -> None:
    assert sieve.count_segment(0, 10**6) == 78_498
    assert sieve.count_segment(14, 14 * sieve.SEGMENT + 100_000) == 4_754  # by Miller-Rabin
