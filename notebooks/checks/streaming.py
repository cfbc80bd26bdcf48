"""Checks for 10-streaming."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from notebooks import lab
from notebooks.checks import exercise, numbers_of

Record = dict[str, Any]


def _generator(answer: Any) -> Any:
    if asyncio.iscoroutine(answer):
        # Else Python says that nobody awaited it.
        answer.close()
    assert hasattr(answer, "__anext__"), (
        "it is no async generator: write async def, and yield in it."
    )
    return answer


@exercise(
    "A page shows what exists when it is read, and a listing ends with the tasks that "
    "existed when it began."
)
def listed(answer: Any) -> None:
    (shown,) = numbers_of(answer, 1)
    assert shown not in (303, 304, 305), (
        f"not {shown}: what is submitted after the listing began is left out."
    )
    assert shown != 298, (
        "not 298: task 10 was sent with its page, before it was forgotten."
    )
    assert shown != 300, "not 300: task 200 is gone before its page is read."
    assert shown == 299, (
        f"not {shown}: take 300, and ask of tasks 10 and 200 whether their page is out."
    )


@exercise(
    "One page at a time is in memory, and others get their turn after each, so a long "
    "list holds nobody up."
)
def as_array(answer: Any) -> None:
    async def body(*pages: list[int]) -> bytes:
        sent = b""
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1

        def read() -> Iterator[list[Record]]:
            due = 0
            begun = turns
            for number, page in enumerate(pages, 1):
                assert sent.count(b"n") == due, (
                    f"it reads page {number} before all records of page {number - 1} "
                    "are out."
                )
                assert number == 1 or turns > begun, (
                    "nobody else runs between two pages: yield alone lets nobody run."
                )
                begun = turns
                asyncio.get_running_loop().call_soon(turn)
                due += len(page)
                yield [{"n": n} for n in page]

        async with aclosing(_generator(answer(read()))) as stream:
            async for piece in stream:
                assert isinstance(piece, bytes), (
                    f"it yields {piece!r:.60}, which is not bytes."
                )
                sent += piece
                assert len(sent) < 10_000, f"it never ends: {sent!r:.60}..."
        return sent

    listings: list[list[list[int]]] = [
        [[0, 1], [2]],
        [],
        [[]],
        [[0], [], [1]],
        [[], [0, 1]],
    ]
    for pages in listings:
        made = lab.run(body(*pages), limit=60)
        try:
            shown = json.loads(made)
        except ValueError:
            text = made.decode(errors="replace")
            raise AssertionError(
                f"of the pages {pages} it makes {text!r}: no JSON."
            ) from None
        expected = [{"n": n} for page in pages for n in page]
        assert shown == expected, f"of the pages {pages} it makes {made.decode()}."


@exercise(
    "You cut at newlines only and decode whole lines, so it does not matter where the "
    "network cuts."
)
def records(answer: Any) -> None:
    lab.run(_check_pieces(answer), limit=60)


async def _check_pieces(answer: Any) -> None:
    titles = ["tides", "sums", "primes"]
    first, second, third = _lines(titles)

    async def check(what: str, pieces: list[bytes]) -> None:
        await _check_records(answer, what, titles, pieces)

    await check("a line a piece", [first, second, third])
    await check("two lines in one piece", [first + second, third])
    await check("a line cut in two", [first, second[:5], second[5:] + third])
    early = [first[:-1], b"\n" + second, third]
    await check("a piece that ends before its newline", early)
    await check("an empty piece", [first, b"", second, third])

    # With a letter of two bytes.
    titles = ["B" + chr(252) + "cher"]
    (line,) = _lines(titles)
    await check("byte by byte", [bytes([byte]) for byte in line])

    titles = ["one" + chr(0x2028) + "two", "tides"]
    await check(
        "a title with U+2028, at which str.splitlines breaks, though only a newline "
        "ends a line of NDJSON",
        _lines(titles),
    )


def _lines(titles: list[str]) -> list[bytes]:
    texts = [json.dumps({"title": title}, ensure_ascii=False) for title in titles]
    return [text.encode() + b"\n" for text in texts]


async def _check_records(
    answer: Any, what: str, titles: list[str], pieces: list[bytes]
) -> None:
    got: list[Any] = []

    async def network() -> AsyncIterator[bytes]:
        whole = 0
        for piece in pieces:
            assert len(got) >= whole, (
                f"{what}: {whole} lines were complete, and it had yielded {len(got)} "
                "records."
            )
            whole += piece.count(b"\n")
            yield piece

    try:
        async with aclosing(_generator(answer(network()))) as stream:
            async for record in stream:
                got.append(record)
                assert len(got) <= len(titles), (
                    f"{what}: it yields more records than there are."
                )
    except ValueError as error:
        raise AssertionError(f"{what}: it raises {type(error).__name__}.") from None
    assert got == [{"title": title} for title in titles], (
        f"{what}: of {len(titles)} lines it makes {got!r:.80}."
    )
