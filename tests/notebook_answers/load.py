"""Wrong answers to 09-load, each with words of the complaint that it
must get.
"""

from statistics import mean, median

WRONG: dict[str, list[tuple[object, str]]] = {
    "little": [
        ((0.05, 40), "give it in ms"),
        ((0.25, 40), "not 0.25 ms"),
        ((50, 400), "as many are under way as come in 10 ms"),
        ((50, 4), "not 4 connections"),
    ],
    "ratio": [
        (lambda ours, reference: median(reference) / median(ours), "upside down"),
        (lambda ours, reference: None, "not a number"),
        (lambda ours, reference: sum(ours) - sum(reference), "it gives 30, not 2"),
        (
            lambda ours, reference: mean(ours) / mean(reference),
            "one disturbed measurement",
        ),
        (
            lambda ours, reference: mean(
                o / r for o, r in zip(ours, reference, strict=True)
            ),
            "one disturbed measurement",
        ),
        (lambda ours, reference: ours[-1] / reference[-1], "one disturbed measurement"),
        (lambda ours, reference: min(ours) / min(reference), "in a fast moment"),
        (lambda ours, reference: median(ours) / median(reference), "within each round"),
    ],
}


def adds_one(latencies, interval):
    return latencies + [each - interval for each in latencies if each > interval]


def adds_copies(latencies, interval):
    return [
        each for each in latencies for _ in range(max(1, round(each / interval + 0.49)))
    ]


def forgets_the_measured(latencies, interval):
    return [
        each - n * interval if each > interval else each
        for each in latencies
        for n in range(1, 3)
    ][::2]


def adds_a_zero(latencies, interval):
    return [
        each - n * interval
        for each in latencies
        for n in range(int(each // interval) + 1)
    ]


def returns_nothing(latencies, interval):
    latencies.extend(each - interval for each in latencies if each > interval)


WRONG["corrected"] = [
    (lambda latencies, interval: latencies, "stays alone"),
    (adds_one, "not [50, 30, 10]"),
    (adds_copies, "they waited less than 50 ms"),
    (forgets_the_measured, "is not in"),
    (adds_a_zero, "what is due at the answer"),
    (returns_nothing, "returns None"),
]
