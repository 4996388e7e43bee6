"""How people and numbers are named in records: users, Call-IDs, endpoint ids, countries."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from msgspec import Struct

from agent.calls.users import without_separators
from agent.model.call_cy import Call

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
        """Everybody whom a call's records name. The lead's Call-ID is the first. Found once for its legs."""
        if call.who is None:
            call.who = self._found(call)
        return call.who

    def user(self, user: str) -> str:
        """A user as records show it."""
        plain = without_separators(user)
        return plain if self.masking is None else self.masking.user(plain)

    def _found(self, call: Call) -> Who:
        lead = call.lead
        caller, callee = without_separators(lead.from_user), without_separators(lead.to_user)
        if lead.diverted and lead.uri_user:  # retargeted: whom it goes to now, and not who was dialled
            callee = without_separators(lead.uri_user)
        call_ids = [lead.call_id]
        for leg in call.legs:
            if leg.call_id not in call_ids:
                call_ids.append(leg.call_id)
        other = (callee if lead.side == "customer" else caller) or lead.peer
        from_country, to_country = country_of(caller, self.country), country_of(callee, self.country)
        endpoint = _endpoint(self.key, other)
        if self.masking is not None:
            known = users_of(call)
            call_ids = [self.masking.text(call_id, known) for call_id in call_ids]
            caller, callee = self.masking.user(caller), self.masking.user(callee)
        return call_ids, caller, from_country, callee, to_country, endpoint


def users_of(call: Call) -> list[str]:
    """Both users of all its legs, and those beside them."""
    return [
        user
        for leg in (call.lead, *call.legs)
        for user in (leg.from_user, leg.to_user, *leg.asserted, *leg.diverted)
    ]


def _endpoint(key: bytes, who: str) -> str:
    """An opaque identifier of a call's other end: stable on a host, its key is needed to turn it back."""
    return blake2b(who.encode(), key=key[:64], digest_size=16).hexdigest()


@lru_cache(maxsize=16_384)
def country_of(user: str, default: str | None) -> str | None:
    """The ISO country of an E.164 user, None where it cannot be told; `default`: of bare numbers."""
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
    region = phonenumbers.region_code_for_number(parsed)
    return region if region and region.isalpha() else None  # +800, +883: "001" is no country
