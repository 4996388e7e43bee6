"""Packets to messages: `fragments`, `copies_cy`, `rate_limit_cy`, `byte_limit` for all; `tcp` over `framings`
(one row each: `sip_framing`, `websocket`), and `sctp`.
"""
