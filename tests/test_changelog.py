"""There is one version, and the changelog's newest is it.

It is the package's, and the one that the API's document shows.
"""

import re

import taskmanager
from taskmanager.api import create_app
from taskmanager.settings import Settings
from taskmanager.testing import client_of
from tests.helpers import project_root

TEXT = (project_root() / "CHANGELOG.md").read_text(encoding="utf-8")
VERSIONS = re.findall(
    r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", TEXT, re.MULTILINE
)


def test_the_newest_version_is_the_one_of_the_package() -> None:
    [(newest, _), *_] = VERSIONS
    assert newest == taskmanager.__version__


async def test_the_document_of_the_api_shows_it() -> None:
    async with client_of(create_app(Settings())) as client:
        document = await client.get("/openapi.json")
    assert document.json()["info"]["version"] == taskmanager.__version__


def test_each_version_has_its_date_and_stands_above_older_ones() -> None:
    headings = re.findall(r"^## (?!Unreleased$)", TEXT, re.MULTILINE)
    assert len(VERSIONS) == len(headings)
    numbers = [tuple(map(int, version.split("."))) for version, _ in VERSIONS]
    assert numbers == sorted(set(numbers), reverse=True)
    dates = [date for _, date in VERSIONS]
    assert dates == sorted(dates, reverse=True)


def test_changes_are_of_the_kinds_that_the_format_knows() -> None:
    kinds = set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE))
    assert kinds <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
