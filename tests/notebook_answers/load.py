"""Wrong answers to 11-load.

Each has words of the complaint that it must get.
"""

from statistics import mean, median, mode

WRONG: dict[str, list[tuple[object, str]]] = {
    "little": [
        ((0.05, 40), "give it in ms"),
        ((0.25, 40), "not 0.25 ms"),
        ((50, 400), "as many are under way as come in 10 ms"),
        ((50, 4), "not 4 connections"),
    ],
}


def upside_down(ours, reference):
    return median(reference) / median(ours)


def no_number(ours, reference):
    return None


def difference(ours, reference):
    return sum(ours) - sum(reference)


def of_the_means(ours, reference):
    return mean(ours) / mean(reference)


def mean_of_each_round(ours, reference):
    return mean(mine / its for mine, its in zip(ours, reference, strict=True))


def of_the_last_round(ours, reference):
    return ours[-1] / reference[-1]


def of_the_shortest(ours, reference):
    return min(ours) / min(reference)


def of_the_medians(ours, reference):
    return median(ours) / median(reference)


def most_frequent(ours, reference):
    return mode(each / other for each, other in zip(ours, reference, strict=True))


WRONG["ratio"] = [
    (upside_down, "upside down"),
    (no_number, "not a number"),
    (difference, "it gives 30, not 2"),
    (of_the_means, "one disturbed measurement"),
    (mean_of_each_round, "one disturbed measurement"),
    (of_the_last_round, "one disturbed measurement"),
    (of_the_shortest, "in a fast moment"),
    (of_the_medians, "within each round"),
    (most_frequent, "one of five rounds was disturbed"),
]


def leaves_it(latencies, interval):
    return latencies


def adds_one(latencies, interval):
    return latencies + [each - interval for each in latencies if each > interval]


def adds_copies(latencies, interval):
    found = []
    for each in latencies:
        copies = max(1, round(each / interval + 0.49))
        found += [each] * copies
    return found


def forgets_the_measured(latencies, interval):
    short = [each for each in latencies if each <= interval]
    return short + [each - interval for each in latencies if each > interval]


def adds_a_zero(latencies, interval):
    found = []
    for each in latencies:
        missing = int(each // interval)
        found += [each - number * interval for number in range(missing + 1)]
    return found


def returns_nothing(latencies, interval):
    latencies.extend(each - interval for each in latencies if each > interval)


def forgets_what_waited_less_than_one(latencies, interval):
    found = []
    for each in latencies:
        while each >= 1:
            found.append(each)
            each -= interval
    return found


WRONG["corrected"] = [
    (leaves_it, "stays alone"),
    (adds_one, "not [50, 30, 10]"),
    (adds_copies, "they waited less than 50 ms"),
    (forgets_the_measured, "is not in"),
    (adds_a_zero, "what is due at the answer"),
    (returns_nothing, "returns None"),
    (forgets_what_waited_less_than_one, "however short, it waited"),
]
