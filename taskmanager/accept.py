"""Accept: which form of an answer a client prefers.

Rule: the weights of RFC 9110, section 12.5.1, where the most specific
range decides; a range that is malformed counts as not sent.
"""

import re

# Parameters in quotes may hold commas and semicolons.
IGNORED = re.compile(r'"(?:[^"\\]|\\.)*"?|\s')
# A range and its weight, among its parameters.
RANGE = re.compile(
    r"(?:^|,)([^,;]+)"
    r"(?:;(?:q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)|(?!q=)[^,;]*))*"
    r"(?=,|$)"
)


def prefers(accept: str, form: str, default: str) -> bool:
    """Whether ``form`` is preferred to ``default``.

    Both are of ``application/``. At equal weights that is so where
    ``form`` alone is named literally.
    """
    weights = dict(RANGE.findall(IGNORED.sub("", accept.lower())))
    other = weights.get("application/*", weights.get("*/*", "0"))
    wanted = float(weights.get(form, other) or 1)
    instead = float(weights.get(default, other) or 1)
    return wanted > 0 and (wanted, form in weights) > (instead, default in weights)
