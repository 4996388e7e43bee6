"""SIP messages (RFC 3261) as a listener reads them. The readers are compiled, which halves their time."""

from agent.wire.sip.message_cy import Message, parse
from agent.wire.sip.scan_cy import looks_like_sip
from agent.wire.sip.values_cy import Uri, parse_uri

__all__ = ["Message", "Uri", "looks_like_sip", "parse", "parse_uri"]
