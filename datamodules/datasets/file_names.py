"""Names of files and classes, and messages about them, as they can be written anywhere."""

import re

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(name: object) -> str:
    r"""Return a name or path with `\…` escapes for control characters and bytes not UTF-8.

    Python holds such a byte as half of a surrogate pair, which can neither be encoded nor drawn.
    """
    return _UNWRITABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), str(name))


def one_line(error: Exception) -> str:
    """Return an error's text as one line of at most 200 characters, or else its class."""
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__
