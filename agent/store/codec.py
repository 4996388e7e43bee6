"""Records to blobs and back: JSON, then zlib.

JSON, because an operator can read it without us. Compressed by batch, because the keys of one record are the
keys of the next (docs/sizing.md has the measured sizes).
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from agent.summary.records import ConnectorMinute
from agent.summary.timeline_cy import plain

_LEVEL = 6  # level 9 is 1 % smaller and twice as slow on SIP
GZIP = 16 + zlib.MAX_WBITS  # zlib writes and reads gzip's header
_encoder = msgspec.json.Encoder(enc_hook=plain)
_connectors = msgspec.json.Decoder(list[ConnectorMinute])
_records = msgspec.json.Decoder(list[dict[str, Any]])


def pack(records: Any, level: int = _LEVEL) -> bytes:
    return zlib.compress(to_json(records), level)


def unpack(body: bytes) -> list[dict[str, Any]]:
    """Raises: zlib.error, msgspec.DecodeError."""
    return _records.decode(zlib.decompress(body))


def unpack_connectors(body: bytes) -> list[ConnectorMinute]:
    """Raises: zlib.error, msgspec.DecodeError."""
    return _connectors.decode(zlib.decompress(body))


def to_json(records: Any) -> bytes:
    try:
        return _encoder.encode(records)
    except UnicodeEncodeError:
        # SIP messages come from the wire and may hold anything, lone surrogates of a lenient decoder
        # included.
        return _encoder.encode(_printable(msgspec.to_builtins(records, enc_hook=plain)))


def printable_text(text: str) -> str:
    """`text` without lone surrogates, which neither JSON nor SQLite takes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable_text(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value
