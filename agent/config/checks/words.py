"""Parts that several checks share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

Finding = tuple[str, str, str]  # section, key, and the problem

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")  # a header's name (RFC 3261 25.1)


def nearest(word: str, words: Iterable[str]) -> str:
    """` (nearest: ...)`, or nothing where no word is near."""
    import difflib  # 1 ms: only where a word is wrong

    near = difflib.get_close_matches(word.lower(), list(words), 1)
    return f" (nearest: {near[0]})" if near else ""


def twice(section: str, key: str, values: Sequence[object]) -> Iterator[Finding]:
    for value, count in Counter(values).items():
        if count > 1:
            yield section, key, f"{value} stands there {count} times: once will do"


def header(section: str, key: str, name: str) -> Iterator[Finding]:
    if not _TOKEN.fullmatch(name):
        plain = name.partition(":")[0].strip()
        will_do = plain if _TOKEN.fullmatch(plain) else "Subject"
        yield section, key, f'"{name}" can match no header: write its name alone, as {will_do}'


def address(text: str) -> IPv4Address | IPv6Address | None:
    """`text` as an address; None where it does not parse, which another check reports."""
    try:
        return ip_address(text)
    except ValueError:
        return None
