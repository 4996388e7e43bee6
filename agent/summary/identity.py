"""The names of calls, people and numbers in records: transaction ids, users, endpoint ids, countries.

A transaction id is a keyed hash of the beginning of a call's incoming leg. So every host that sees the leg
and has the key finds the same id without asking another host.
"""

from __future__ import annotations

from _blake2 import blake2b  # what hashlib has, without the 6 ms in which it loads OpenSSL
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from agent.calls.users import without_separators
from agent.model.call_cy import Call
from agent.model.claim import Who
from agent.model.names import UNSIGNALLED
from agent.model.sides import Connector

if TYPE_CHECKING:
    from agent.summary.masking import Masking


class Identity(Struct, frozen=True):
    """Names of calls and people in records: the key behind ids, the country of bare numbers, the host.

    `key`: of one host, or of a fleet whose hosts must find the same ids; at most 64 bytes of it count.
    """

    key: bytes = b""
    country: str | None = None  # ISO 3166 alpha-2, for numbers without a country code
    masking: Masking | None = None  # people by tokens
    host: str = ""
    key_id: str | None = None  # which key it is (`key_id_of`)
    public_url: str = ""  # of the pages, for links

    def page(self, call_ids: list[str], transaction_id: str) -> str | None:
        """Where a call's page opens; of media without SIP by its transaction id. None without pages."""
        if not self.public_url:
            return None
        return f"{self.public_url}/call-id/{quote(call_ids[0] if call_ids else transaction_id, safe='')}"

    def transaction_id(self, call: Call, connector: Connector) -> str:
        """The id of a call in its connector's records, a UUID.

        Computed once a connector, until a leg joins.
        """
        known: dict[str, str] = (call.who or self.of(call))[1]
        found = known.get(connector.id)
        if found is None and call.elected is not None:
            found = call.elected.get(connector.id)
        if found is None and call.claim is not None:  # of a connector that is not configured here
            found = known[connector.id] = next(iter(call.claim.ids.values()))
        if found is None:
            lead = call.lead
            from_tag, cseq = lead.initial
            # In a dialog found in progress the INVITE was not seen; without SIP there is none, and its
            # sockets name it.
            number = lead.invite_ns if UNSIGNALLED in call.flags else cseq if lead.whole else 0
            found = known[connector.id] = as_uuid(self.key, connector.id, lead.call_id, from_tag, str(number))
        return found

    def socket(self, address: str, port: int) -> str:
        """A far end's media socket as records show it: a token of the address where people are masked."""
        if self.masking is not None:
            return self.masking.user(address)
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def of_call(self, call: Call) -> Who:
        """All parties that a call's records name.

        The lead's Call-ID is the first. Computed once for its legs.
        """
        who: Who = (call.who or self.of(call))[0]
        return who

    def of(self, call: Call) -> tuple[Who, dict[str, str]]:
        """The parties that the records of `call` name, and its ids by connector."""
        claim = call.claim
        call.who = (self._found(call), {}) if claim is None else (claim.who, dict(claim.ids))
        return call.who

    def user(self, user: str) -> str:
        """A user in the form of records."""
        plain = without_separators(user)
        return plain if self.masking is None else self.masking.user(plain)

    def _found(self, call: Call) -> Who:
        lead = call.lead
        if UNSIGNALLED in call.flags:
            return [], None, None, None, None, _endpoint(self.key, lead.peer)
        caller, callee = without_separators(lead.from_user), without_separators(lead.to_user)
        if lead.diverted and lead.uri_user:  # retargeted: its present target, not the dialled number
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


def as_uuid(key: bytes, *parts: str) -> str:
    """The first 128 bits of a keyed hash of `parts`, written as a UUID."""
    text = "\0".join(parts).encode("utf-8", "surrogateescape")
    digest = (blake2b(text, key=key[:64]) if key else blake2b(text)).digest()
    number = digest[:16].hex()
    return f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"


def record_id(transaction_id: str, end_ms: int, host: str, is_second: bool) -> str:
    """The id of a media record in part 0 of the minute that ends at `end_ms` (UTC).

    `is_second`: a call between two customers of one connector has two a minute; this is the other.
    """
    parts = f"{transaction_id}\x00{end_ms}\x000\x00{host}"
    return as_uuid(b"", parts, "second") if is_second else as_uuid(b"", parts)


def record_id_in_part(first: str, part: int) -> str:
    """The id of the same record, had the minute been in `part`; `first`: in part 0."""
    return as_uuid(b"", first, str(part)) if part else first


def key_id_of(key: bytes) -> str | None:
    """A number that tells keys apart and reveals nothing of them. None without a key."""
    return blake2b(b"", key=key[:64], digest_size=4, person=b"key id").hexdigest() if key else None


def users_of(call: Call) -> list[str]:
    """Both users of all its legs, and further named ones."""
    return [
        user
        for leg in (call.lead, *call.legs)
        for user in (leg.from_user, leg.to_user, *leg.asserted, *leg.diverted, *leg.targets)
    ]


def _endpoint(key: bytes, who: str) -> str:
    """An opaque identifier of a call's other end: stable on a host, its key is needed to turn it back."""
    return blake2b(who.encode(), key=key[:64], digest_size=16).hexdigest()


@lru_cache(maxsize=16_384)
def country_of(user: str, default: str | None) -> str | None:
    """The ISO country of an E.164 user, None where unknown; `default`: of bare numbers."""
    number = user.split(";")[0]
    digits = number.removeprefix("+")
    if (
        not (digits.isascii() and digits.isdigit())
        or len(digits) < 7
        or (digits == number and default is None)
    ):
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
