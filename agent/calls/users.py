"""Users of two legs compared: names as they are, numbers by their digits.

Visual separators are no part of a number (RFC 3966 5.1.1). Where both say their country (`+`, `00`, `011`)
all digits must agree; else the last seven to nine, because a B2BUA adds and takes away trunk zeros, country
codes and the 9 for an outside line. Codes before a number (8001#, #31#, *67) are no part of it either.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

MAX_USERS = 8_192  # users come from the wire
SHORTEST, COMPARED = 7, 9  # digits that must agree where a country is not known
INTERNATIONAL = (("00", 10), ("011", 13))  # prefix, and the least length with which it is one
HIDDEN = frozenset({"", "anonymous", "restricted", "unavailable", "unknown"})  # RFC 3323 4.1.1.3 and its like
_SEPARATORS = str.maketrans("", "", "-.() \u00a0")


class User(Struct, frozen=True):
    """`key` is the same for all users that may be the same. `digits` is empty for a name."""

    key: str
    digits: str = ""
    has_country: bool = False


@lru_cache(maxsize=MAX_USERS)
def user_of(text: str) -> User:
    """The user part of a URI, for comparison."""
    number = without_separators(text.partition(";")[0])
    if "#" in number or "*" in number:  # a carrier's prefix or a feature's code: 8001#, #31#, *67
        number = _after_code(number)
    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return User(text.lower())
    has_country = number != digits
    if not has_country:
        for prefix, least in INTERNATIONAL:
            if digits.startswith(prefix) and len(digits) >= least:
                digits, has_country = digits[len(prefix) :], True
                break
        else:
            digits = digits.lstrip("0") or digits
    return User(digits[-SHORTEST:], digits, has_country)


def _after_code(number: str) -> str:
    """The number behind a code that ends with `#`, or begins with `*` and has two digits."""
    bare = number.rpartition("#")[2]
    if bare.startswith("*") and bare[1:3].isdigit():
        bare = bare[3:]
    return bare if len(bare) >= SHORTEST else number


def is_hidden(text: str) -> bool:
    """Whether a From's user says that its caller is not to be known."""
    return text.lower() in HIDDEN


def without_separators(text: str) -> str:
    """A number without its visual separators; any other text as it is."""
    if text.isalnum():
        return text
    bare = text.translate(_SEPARATORS)
    digits = bare.removeprefix("+")
    return bare if digits.isascii() and digits.isdigit() else text


@lru_cache(maxsize=MAX_USERS)
def agreement(one: str, other: str) -> int:
    """2: the same user. 1: two numbers whose last digits agree. 0: two users."""
    first, second = user_of(one), user_of(other)
    if first.key != second.key:
        return 0
    if not first.digits or not second.digits or first.digits == second.digits:
        return 2 if bool(first.digits) == bool(second.digits) else 0
    if first.has_country and second.has_country:
        return 0
    return int(any(_ends_alike(a, b) for a in _spellings(first) for b in _spellings(second)))


def _spellings(user: User) -> list[str]:
    """The digits, and those without the 9 that takes an outside line."""
    outside = not user.has_country and user.digits.startswith("9")
    return [user.digits, user.digits[1:]] if outside else [user.digits]


def _ends_alike(one: str, other: str) -> bool:
    length = min(len(one), len(other), COMPARED)
    return length >= SHORTEST and one[-length:] == other[-length:]
