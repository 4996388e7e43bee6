"""Text from the wire as it may stand before people: in a terminal's cell, on a page, in a line of the log."""

from __future__ import annotations

import re
from functools import lru_cache

# Characters that a terminal or browser obeys instead of showing: C0, DEL and C1 (ECMA-48), line and paragraph
# separators, marks, embeddings and isolates of direction (UAX 9), characters without width, lone surrogates.
_OBEYED = (
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
# ... of these all that may stand in JSON unescaped, but the end of a line.
_OBEYED_RAW = f"(?![\x00-\x1f]){_OBEYED}"


def printable(text: str) -> str:
    r"""`text` with each character that would be obeyed written as an escape (`\x1b`, `\u202e`)."""
    return _compiled(_OBEYED).sub(lambda found: ascii(found[0])[1:-1], text)


def printable_json(text: bytes) -> bytes:
    """Lines of JSON in UTF-8 with such characters as JSON's own escapes: they say the same."""
    if text.isascii() and b"\x7f" not in text:
        return text
    import json  # as above

    plain = text.decode("utf-8", "replace")
    return _compiled(_OBEYED_RAW).sub(lambda found: json.dumps(found[0])[1:-1], plain).encode()


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """When the first text asks: compiling both, and `json`, are 4 ms of a start."""
    return re.compile(pattern)
