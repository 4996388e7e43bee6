"""Names, of headers and parameters of SIP, whose values are secrets."""

from __future__ import annotations

SECRET_HEADERS = ("authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info")
# Parts of names, of headers and parameters, whose values are secrets.
SECRET_WORDS = (
    "authorization", "passwd", "password", "passphrase", "pwd", "secret", "token", "credential", "cookie",
    "api-key", "api_key", "apikey", "signature", "pn-prid",
)  # fmt: skip
# Whole names: a digest's answer and keys, RFC 7616 3.4 and 3.5, RFC 3310 3.3, 3GPP TS 24.229 7.2A.1.
SECRET_PARAMETERS = ("auth", "response", "rspauth", "auts", "ik", "ck")
ENCODINGS = ("content-encoding", "content-transfer-encoding")
# A text in lower case with none of these has no such parameter, and no such header but `SECRET_HEADERS`.
WORDS = (
    "auth", "pass", "pwd", "secret", "token", "credential", "cookie", "api", "signature", "pn-prid",
    "response", "bearer",
)  # fmt: skip
# An SDP with none of these either has no secret attribute, not even in the value of another.
SDP_WORDS = ("key", "crypto", "identity", "candidate")
