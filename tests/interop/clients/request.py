"""One request of a Python client: its status, or the error's name.

``python request.py CLIENT METHOD URL [BYTES]``, where a POST submits a
task, or has a body of so many bytes.
"""

import asyncio
import json
import sys
from collections.abc import Callable

import aiohttp
import httpx
import httpx_retries
import requests
import urllib3.util
from requests.adapters import HTTPAdapter

TASK = {"task_type": "compute_sum", "parameters": {"numbers": [1, 2, 3]}}
JSON = {"Content-Type": "application/json"}


def with_requests(method: str, url: str, body: bytes | None) -> int:
    """A session whose adapter retries, as its documentation shows."""
    retry = urllib3.util.Retry(
        total=3, backoff_factor=0.1, status_forcelist=[429, 502, 503, 504]
    )
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        return session.request(method, url, data=body, headers=JSON).status_code


def with_aiohttp(method: str, url: str, body: bytes | None) -> int:
    """A session; it retries nothing."""

    async def send() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, url, data=body, headers=JSON) as answer,
        ):
            await answer.read()
            return answer.status

    return asyncio.run(send())


def with_httpx_retries(method: str, url: str, body: bytes | None) -> int:
    """A client with its transport, both with their defaults."""
    with httpx.Client(transport=httpx_retries.RetryTransport()) as client:
        return client.request(method, url, content=body, headers=JSON).status_code


CLIENTS: dict[str, Callable[[str, str, bytes | None], int]] = {
    "requests": with_requests,
    "aiohttp": with_aiohttp,
    "httpx-retries": with_httpx_retries,
}


def main() -> None:
    """Make the request that the command line names."""
    name, method, url, *size = sys.argv[1:]
    body = None
    if size:
        body = bytes(int(size.pop()))
    elif method == "POST":
        body = json.dumps(TASK).encode()
    try:
        told = str(CLIENTS[name](method, url, body))
    except Exception as error:
        told = type(error).__name__
    sys.stdout.write(told)


if __name__ == "__main__":
    main()
