"""How people and numbers are named in records: users, Call-IDs, endpoint ids, countries."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.tracking.call_cy import Call
from agent.tracking.dialog_cy import Leg

if TYPE_CHECKING:
    from agent.summary.masking import Masking


# A call's Call-IDs, from user and country, to user and country, endpoint id.
Who = tuple[list[str], str, str | None, str, str | None, str]


class Identity(Struct, frozen=True):
    """How people are named in records: a host's key for endpoint ids, where a bare number is from."""

    key: bytes = b""
    country: str | None = None  # ISO 3166 alpha-2, for numbers without a country code
    masking: Masking | None = None  # people by tokens

    def of_call(self, call: Call) -> Who:
        """Everybody whom a call's record names."""
        lead = call.lead
        caller, callee = lead.from_user, lead.to_user
        from_country, to_country, endpoint = self.about(lead)
        call_ids = _call_ids(call, lead)
        if self.masking is None:
            return call_ids, caller, from_country, callee, to_country, endpoint
        mask, known = self.masking, users_of(call)
        call_ids = [mask.text(call_id, known) for call_id in call_ids]
        return call_ids, mask.user(caller), from_country, mask.user(callee), to_country, endpoint

    def about(self, lead: Leg) -> tuple[str | None, str | None, str]:
        """Both users' countries, and the endpoint id of a call's other end."""
        other = (lead.to_user if lead.side == "customer" else lead.from_user) or lead.peer
        return _about(lead.from_user, lead.to_user, other, self.country, self.key)

    def user(self, user: str) -> str:
        """A user as records name it."""
        return user if self.masking is None else self.masking.user(user)

    def call_ids(self, call: Call) -> list[str]:
        """The Call-IDs of a call, the lead's first, as records name them."""
        found = _call_ids(call, call.lead)
        if self.masking is None:
            return found
        known = users_of(call)
        return [self.masking.text(call_id, known) for call_id in found]

    def country_of(self, user: str) -> str | None:
        """The ISO country of an E.164 user, None where it cannot be told."""
        return _country(user, self.country)


def _call_ids(call: Call, lead: Leg) -> list[str]:
    found = [lead.call_id]
    for leg in call.legs:
        if leg.call_id not in found:
            found.append(leg.call_id)
    return found


def users_of(call: Call) -> list[str]:
    """Both users of all its legs."""
    return [user for leg in (call.lead, *call.legs) for user in (leg.from_user, leg.to_user)]


@lru_cache(maxsize=65_536)
def _about(
    caller: str, callee: str, other: str, country: str | None, key: bytes
) -> tuple[str | None, str | None, str]:
    """Found once a call, and asked for in every minute of it."""
    return _country(caller, country), _country(callee, country), _endpoint(key, other)


def _endpoint(key: bytes, who: str) -> str:
    """An opaque identifier of a call's other end: stable on a host, its key is needed to turn it back."""
    return blake2b(who.encode(), key=key[:64], digest_size=16).hexdigest()


@lru_cache(maxsize=16_384)
def _country(user: str, default: str | None) -> str | None:
    number = user.split(";")[0]
    digits = number.removeprefix("+")
    if not digits.isdigit() or len(digits) < 7 or (digits == number and default is None):
        return None
    # Numbers are given out in blocks: what is asked is the country of the thousand that this one is in.
    return _country_of(number[:-3] + "000", default)


@lru_cache(maxsize=65_536)
def _country_of(number: str, default: str | None) -> str | None:
    import phonenumbers  # heavy: 0.1 s, only where numbers are logged

    try:
        parsed = phonenumbers.parse(number, default)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.region_code_for_number(parsed)
