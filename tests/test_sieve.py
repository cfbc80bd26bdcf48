"""Counting primes, against trial division and known values."""

import math

import pytest

from taskmanager import sieve


def primes_up_to(limit: int) -> int:
    return sum(
        all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
        for number in range(2, limit + 1)
    )


def counted_in_segments(limit: int) -> int:
    indexes = range(limit // sieve.SEGMENT + 1)
    return sum(sieve.count_segment(index, limit) for index in indexes)


@pytest.mark.parametrize("segment", [2, 10, 64, 1000])
def test_every_limit_in_segments_of_every_size(
    segment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "SEGMENT", segment)
    for limit in range(300):
        assert counted_in_segments(limit) == primes_up_to(limit), limit


@pytest.mark.slow
def test_every_limit_to_2000_in_one_segment_and_in_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = [sieve.count_segment(0, limit) for limit in range(2001)]
    assert counts == [primes_up_to(limit) for limit in range(2001)]

    monkeypatch.setattr(sieve, "SEGMENT", 128)
    for limit, count in enumerate(counts):
        assert counted_in_segments(limit) == count, limit


def test_known_values() -> None:
    assert sieve.count_segment(0, 10**6) == 78_498
    assert sieve.count_segment(0, 10**7) == 664_579
    # This one is known by the test of Miller and Rabin.
    assert sieve.count_segment(14, 14 * sieve.SEGMENT + 100_000) == 4_754
