"""Which form a client prefers, as a table of Accept headers."""

import time

import pytest

from taskmanager.accept import prefers

JSON = "application/json"
NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "preferred"),
    [
        # What is not sent, or is neither.
        ("", JSON),
        (" , ,", JSON),
        ("text/html", JSON),
        ("application/x-ndjson-2", JSON),
        # Named literally.
        ("application/json", JSON),
        ("application/x-ndjson", NDJSON),
        ("Application/X-NDJSON", NDJSON),
        ("text/html,application/x-ndjson", NDJSON),
        (" ,application/x-ndjson\t, ", NDJSON),
        # Weights.
        ("application/json, application/x-ndjson", JSON),
        ("application/x-ndjson, application/json", JSON),
        ("application/json, application/x-ndjson;q=0", JSON),
        ("application/json, application/x-ndjson;q=0.1", JSON),
        ("application/json;q=0.1, application/x-ndjson", NDJSON),
        ("application/json;q=0, application/x-ndjson;q=0.001", NDJSON),
        ("application/json;q=0.5, application/x-ndjson;q=0.500", JSON),
        ("application/json;q=0.50, application/x-ndjson;q=0.501", NDJSON),
        ("application/json;q=1.000, application/x-ndjson;q=1", JSON),
        ("application/json;q=0., application/x-ndjson;q=1.", NDJSON),
        ("application/x-ndjson;Q=0.5, application/json;Q=0.4", NDJSON),
        ("application/x-ndjson \t;\tq=0.5 , application/json ; q=0.4", NDJSON),
        # Not acceptable.
        ("application/x-ndjson;q=0", JSON),
        ("application/x-ndjson;q=0.000", JSON),
        ("application/json;q=0", JSON),
        ("application/json;q=0, application/x-ndjson;q=0", JSON),
        ("*/*;q=0", JSON),
        ("*/*;q=0, application/x-ndjson", NDJSON),
        # Ranges: at equal weight what is named wins.
        ("*/*", JSON),
        ("application/*", JSON),
        ("*/*, application/x-ndjson", NDJSON),
        ("application/x-ndjson, application/*", NDJSON),
        ("application/json, */*", JSON),
        ("application/x-ndjson;q=0.5, */*;q=0.5", NDJSON),
        ("application/x-ndjson;q=0.5, */*", JSON),
        # The most specific range decides.
        ("application/json;q=0.5, */*", NDJSON),
        ("application/json;q=0, */*;q=0.1", NDJSON),
        ("application/*;q=0.9, application/json;q=0.1", NDJSON),
        ("application/*;q=0.1, application/x-ndjson;q=0.2, */*", NDJSON),
        ("application/*;q=0, */*, application/x-ndjson;q=0.1", NDJSON),
        ("application/x-ndjson;q=0, */*", JSON),
        ("text/*, application/x-ndjson;q=0.1", NDJSON),
        # Parameters, also in quotes.
        ("application/x-ndjson;charset=utf-8", NDJSON),
        ("application/x-ndjson;a=b;q=0.5;c=d, application/json;q=0.4", NDJSON),
        ("application/x-ndjson;q=0.4;c=d, application/json;q=0.5;e", JSON),
        ('application/json;a="b,c;q=0";q=0.5, application/x-ndjson;q=0.6', NDJSON),
        ('application/json;a=";q=0", application/x-ndjson;q=0.9', JSON),
        ('text/plain;a=", application/x-ndjson, "', JSON),
        (r'text/plain;a="\", application/x-ndjson, \"", application/*', JSON),
        ('text/plain;a=", application/x-ndjson', JSON),
        # What is malformed counts as not sent.
        ("application/x-ndjson;q=.5", JSON),
        ("application/x-ndjson;q=2", JSON),
        ("application/x-ndjson;q=-0.5", JSON),
        ("application/x-ndjson;q=1.001", JSON),
        ("application/x-ndjson;q=0.1234", JSON),
        ("application/x-ndjson;q=", JSON),
        ("application/x-ndjson;q=high", JSON),
        ('application/x-ndjson;q="1"', JSON),
        ("application/x-ndjson;q=1e0", JSON),
        ("application/x-ndjson;q=\u0660", JSON),
        ("application/json;q=2, application/x-ndjson;q=0.1", NDJSON),
        ("application/json;q=x, */*;q=0.1, application/x-ndjson;q=0.1", NDJSON),
        ("*, application/x-ndjson", NDJSON),
        # What Java's own client sends.
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),
    ],
)
def test_the_form_that_is_preferred(accept: str, preferred: str) -> None:
    assert prefers(accept, NDJSON, JSON) is (preferred == NDJSON)


@pytest.mark.parametrize(
    "piece",
    [
        '"',
        '"\\',
        ";",
        " ",
        ",",
        "a;q=",
        ";q=1",
        ";a",
        "a;b;q=2,",
        "a",
        "application/x-ndjson;",
    ],
)
def test_the_longest_header_is_read_in_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        header = f"{NDJSON}{piece * (count // len(piece))};q=2"
        taken = []
        for _ in range(5):
            start = time.process_time()
            prefers(header, NDJSON, JSON)
            taken.append(time.process_time() - start)
        return min(taken)

    # In quadratic time it would be a hundred times as much.
    assert seconds(60_000) < 40 * seconds(6_000) + 0.001
