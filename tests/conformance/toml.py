"""TOML, which the library knows from Python 3.11 on.

On 3.10 pytest brings a package that is the same.
"""

import sys

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "loads"]
