"""SIP messages (RFC 3261) as a listener reads them. Reading is `sip_cy`: compiled it takes half the time."""

from agent.wire.sip_cy import Message, Uri, looks_like_sip, parse, parse_uri, redacted

__all__ = ["Message", "Uri", "looks_like_sip", "parse", "parse_uri", "redacted"]
