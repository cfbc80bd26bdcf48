"""Wrong answers to 10-streaming.

Each has words of the complaint that it must get.
"""

import asyncio
import json


def joined(before, page):
    text = ",".join(map(json.dumps, page))
    return (before + text).encode()


async def at_once(pages):
    yield json.dumps([record for page in pages for record in page]).encode()


async def an_array_a_page(pages):
    for page in pages:
        yield json.dumps(page).encode()
        await asyncio.sleep(0)


async def a_comma_too_many(pages):
    yield b"["
    for page in pages:
        for record in page:
            yield json.dumps(record).encode() + b","
        await asyncio.sleep(0)
    yield b"]"


async def stumbles_over_an_empty_page(pages):
    yield b"["
    for number, page in enumerate(pages):
        if number:
            yield b","
        yield joined("", page)
        await asyncio.sleep(0)
    yield b"]"


async def nothing_for_nothing(pages):
    before = "["
    for page in pages:
        if page:
            yield joined(before, page)
            before = ","
        await asyncio.sleep(0)
    yield b"]"


async def lets_nobody_run(pages):
    before = "["
    for page in pages:
        if page:
            yield joined(before, page)
            before = ","
    if before == "[":
        yield b"["
    yield b"]"


async def yields_text(pages):
    yield "["


async def never_ends(pages):
    while True:
        yield b"[["
        await asyncio.sleep(0)


async def returns_it(pages):
    return json.dumps([record for page in pages for record in page]).encode()


async def a_piece_is_a_line(pieces):
    async for piece in pieces:
        yield json.loads(piece)


async def lines_of_each_piece(pieces):
    async for piece in pieces:
        for line in piece.splitlines():
            yield json.loads(line)


async def drops_the_rest(pieces):
    async for piece in pieces:
        *lines, _ = piece.split(b"\n")
        for line in lines:
            yield json.loads(line)


async def collects_all(pieces):
    body = b"".join([piece async for piece in pieces])
    for line in body.splitlines():
        yield json.loads(line)


async def decodes_each_piece(pieces):
    rest = ""
    async for piece in pieces:
        *lines, rest = (rest + piece.decode()).split("\n")
        for line in lines:
            yield json.loads(line)


async def splits_text(pieces):
    rest = b""
    async for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        for line in (whole + newline).decode().splitlines():
            yield json.loads(line)


async def one_late(pieces):
    rest = b""
    async for piece in pieces:
        *lines, last = (rest + piece).split(b"\n")
        for line in lines[:-1]:
            yield json.loads(line)
        rest = b"\n".join([*lines[-1:], last])


async def repeats(pieces):
    async for piece in pieces:
        while True:
            yield json.loads(piece)


WRONG: dict[str, list[tuple[object, str]]] = {
    "listed": [
        (300, "task 200 is gone"),
        (298, "task 10 was sent"),
        (304, "left out"),
        (303, "left out"),
        (128, "whether their page is out"),
    ],
    "as_array": [
        (at_once, "before all records of page 1 are out"),
        (an_array_a_page, "no JSON"),
        (a_comma_too_many, "no JSON"),
        (stumbles_over_an_empty_page, "no JSON"),
        (nothing_for_nothing, "of the pages [] it makes ']'"),
        (lets_nobody_run, "yield alone lets nobody run"),
        (yields_text, "not bytes"),
        (never_ends, "it never ends"),
        (returns_it, "no async generator"),
    ],
    "records": [
        (a_piece_is_a_line, "two lines in one piece: it raises JSONDecodeError"),
        (lines_of_each_piece, "a line cut in two"),
        (drops_the_rest, "a line cut in two"),
        (collects_all, "were complete, and it had yielded 0"),
        (decodes_each_piece, "byte by byte: it raises UnicodeDecodeError"),
        (splits_text, "U+2028"),
        (one_late, "had yielded 0 records"),
        (repeats, "more records than there are"),
    ],
}
