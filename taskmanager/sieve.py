"""Counting primes: real CPU work, by a segmented sieve of Eratosthenes.

Rule: a segment depends on its arguments alone, so that any process of
any executor can count it. Notebook: 14-outgrowing-one-process.
"""

import math

SEGMENT = 2**26  # numbers: about 0.2 s, 56 MB


def count_segment(index: int, limit: int) -> int:
    """The number of primes up to ``limit`` in a segment.

    ``index`` counts the segments from 0.

    Segment 0 has the numbers below SEGMENT, segment 1 those below twice
    SEGMENT, and so on.
    """
    if limit < 2:
        return 0
    low = index * SEGMENT
    end = min(low + SEGMENT, limit + 1)

    # Only odd numbers have a flag: low + 1, low + 3, ...
    is_prime = bytearray(b"\x01") * ((end - low) // 2)
    for prime in _odd_primes(math.isqrt(end - 1)):
        multiple = _first_odd_multiple(prime, low)
        _strike(is_prime, (multiple - low - 1) // 2, prime)

    # In the first segment 1 was counted and is no prime, and 2 is a
    # prime and was not counted: one for one.
    return is_prime.count(1)


def _odd_primes(limit: int) -> list[int]:
    is_prime = bytearray(b"\x01") * (limit + 1)
    for number in range(3, math.isqrt(limit) + 1, 2):
        _strike(is_prime, number * number, number)
    return [number for number in range(3, limit + 1, 2) if is_prime[number]]


def _first_odd_multiple(prime: int, low: int) -> int:
    """The odd multiple of ``prime`` from which its strikes begin.

    That is its square or, where this is not above ``low``, the first
    odd multiple that is.
    """
    square = prime * prime
    if square > low:
        return square
    multiple = (low // prime + 1) * prime
    if multiple % 2 == 0:
        multiple += prime
    return multiple


def _strike(flags: bytearray, start: int, step: int) -> None:
    """Clear the flags at start, start + step, start + 2 * step, ..."""
    count = len(range(start, len(flags), step))
    flags[start::step] = bytes(count)
