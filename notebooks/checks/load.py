"""Checks for 11-load."""

from math import isclose
from typing import Any

from notebooks.checks import exercise, numbers_of


@exercise(
    "At full load, more connections bring no more answers a second, only longer "
    "waits: latency is connections over rate."
)
def little(answer: Any) -> None:
    latency, connections = numbers_of(answer, 2)
    assert not isclose(latency, 0.05), "0.05 is the latency in seconds; give it in ms."
    assert isclose(latency, 50), (
        f"not {latency} ms: the 200 under way are 4,000 a second times the latency."
    )
    assert isclose(connections, 40), (
        f"not {connections} connections: as many are under way as come in 10 ms."
    )


@exercise(
    "Both numbers of a round meet the same machine, and the median does not care "
    "about one disturbed round.",
    plain=True,
)
def ratio(answer: Any) -> None:
    def found(ours: list[float], reference: list[float]) -> float:
        value = answer(ours, reference)
        assert isinstance(value, int | float), (
            f"it returns {value!r:.60}, not a number."
        )
        return value

    plain = found([20.0, 20.0, 20.0], [10.0, 10.0, 10.0])
    assert not isclose(plain, 0.5), (
        "it is upside down: ours at 20 µs and the reference at 10 µs is a ratio of 2."
    )
    assert isclose(plain, 2), (
        f"it gives {plain:g}, not 2, for ours at 20 µs and the reference at 10 µs."
    )

    disturbed = found([20.0, 20.0, 20.0, 20.0, 900.0], [10.0] * 5)
    assert isclose(disturbed, 2), (
        f"one disturbed measurement of five turns a ratio of 2 into {disturbed:g}."
    )

    varied = found([900.0, 19.0, 21.0, 20.0, 22.0], [10.0] * 5)
    assert 1.9 <= varied <= 2.2, (
        f"of ratios of 90, 1.9, 2.1, 2 and 2.2 it makes {varied:g}: one of five rounds "
        "was disturbed."
    )

    lucky = found([20.0, 10.0, 20.0, 20.0, 20.0], [10.0] * 5)
    assert isclose(lucky, 2), (
        f"one measurement in a fast moment turns a ratio of 2 into {lucky:g}."
    )

    slowing = found([500.0, 40.0, 60.0, 80.0, 100.0], [10.0, 20.0, 30.0, 40.0, 50.0])
    assert isclose(slowing, 2), (
        "while the machine slows down, and the first measurement is disturbed, a ratio "
        f"of 2 becomes {slowing:g}: take the ratio within each round first."
    )


@exercise(
    "A closed loop does not ask while it waits, so it leaves out the very requests "
    "that would have waited.",
    plain=True,
)
def corrected(answer: Any) -> None:
    def found(latencies: list[float], interval: float) -> list[float]:
        value = answer(list(latencies), interval)
        assert value is not None, "it returns None, not a list of latencies."
        return sorted(value, reverse=True)

    quick = found([5.0, 7.0], 20.0)
    assert quick == [7.0, 5.0], (
        f"where nothing was left out, [5, 7] should stay as it is; it gives {quick}."
    )

    one = found([50.0], 20.0)
    assert 50.0 in one, f"the latency that was measured, 50 ms, is not in {one}."
    assert one != [50.0], (
        "50 ms at an interval of 20 ms stays alone: requests due after 20 and 40 ms "
        "were left out."
    )
    assert one != [50.0, 50.0, 50.0], (
        "those left out were due later, so they waited less than 50 ms."
    )
    assert one == [50.0, 30.0, 10.0], (
        f"50 ms at an interval of 20 ms gives {one}, not [50, 30, 10]."
    )

    exact = found([40.0], 20.0)
    assert exact == [40.0, 20.0], (
        f"40 ms at 20 ms gives {exact}, not [40, 20]: what is due at the answer waits "
        "no more."
    )

    short = found([20.5], 20.0)
    assert short == [20.5, 0.5], (
        f"20.5 ms at 20 ms gives {short}, not [20.5, 0.5]: however short, it waited."
    )

    both = found([50.0, 5.0, 30.0], 20.0)
    assert both == [50.0, 30.0, 30.0, 10.0, 10.0, 5.0], (
        f"of three, [50, 5, 30], it makes {both}."
    )
