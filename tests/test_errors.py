"""What an exception says, in a line."""

import pytest

from bluerec.errors import DataError, first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one\ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (DataError("\n \n"), "DataError"),
        (OSError(28, "No space left"), "[Errno 28] No space left"),
    ],
)
def test_the_first_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
