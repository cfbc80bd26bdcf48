"""Solutions for 11-load."""

from statistics import median

# 200 under way = 4,000/s * 0.05 s; and 4,000/s * 0.01 s = 40 under way.
little = (50, 40)


def ratio(ours: list[float], reference: list[float]) -> float:
    rounds = zip(ours, reference, strict=True)
    return median(mine / theirs for mine, theirs in rounds)


def corrected(latencies: list[float], interval: float) -> list[float]:
    found = []
    for latency in latencies:
        while latency > 0:
            found.append(latency)
            latency -= interval
    return found
