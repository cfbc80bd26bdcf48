"""Each requirement, played against the application of ``--app``."""

import pytest

from tests.conformance.requirement import Requirement, Verdict, load_all

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "requirement", load_all(), ids=lambda requirement: requirement.name
)
def test_requirement(requirement: Requirement, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[requirement.name]
    if verdict.mark == "not graded":
        pytest.skip(verdict.happened)
    if verdict.mark == "failed":
        pytest.fail(f"expected {verdict.expected}; {verdict.happened}", pytrace=False)
