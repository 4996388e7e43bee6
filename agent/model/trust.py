"""Trust: by what evidence a frame or message is believed, and the one table of what each class may do.

Addresses can be forged and ports can be guessed, so what a packet says is weighed by who is known to have
sent it. A class is given once: to a SIP message when its leg is found (`agent/calls/signalling_cy.py`), to a
stream and to an RTCP packet when it is known whose socket it uses (`agent/media/evidence.py`). A frame out of
a tunnel has the class of its inner addresses: live only configured tunnels are opened.
"""

from __future__ import annotations

import enum


class Trust(enum.IntEnum):
    """From the most trusted to the least."""

    VC = 0  # the vc sent it itself
    ANSWERED = 1  # from whom the vc deals with on this leg, or whom it sends media to from that socket
    NAMED = 2  # an SDP of the leg names the address that it comes from
    CONNECTOR = 3  # from the connector's own networks
    ALONE = 4  # nobody answered or named it, and nobody else runs on that socket: NAT, before the vc answers
    UNKNOWN = 5


class Effect(enum.StrEnum):
    """Figures and state that a packet or message can change."""

    DIALOG = (
        "dialog"  # ends (BYE, CANCEL), decides (a response), moves media (SDP), proves that a dialog is up
    )
    REPEAT = "repeat"  # an INVITE is a retry or a branch of an attempt that is there
    CONNECTOR_HEADER = "connector_header"  # X-VoiceConnector-ID
    CONNECTOR_HOST = "connector_host"  # From and Contact name a connector's domain
    STATISTICS = "statistics"  # X-RTP-Stat, PUBLISH and NOTIFY with a quality report
    RTP = "rtp"  # packets, loss, jitter, MOS; that a call is alive
    RTCP = "rtcp"  # RTCP packets and bytes; loss and jitter away from the vc, round trips, the far end's view


_MEDIA = frozenset({Trust.VC, Trust.ANSWERED, Trust.NAMED, Trust.ALONE})

TAKES: dict[Effect, frozenset[Trust]] = {
    # Of another class it waits for the vc: its 2xx to the request, its ACK of the response (calls/unproven).
    Effect.DIALOG: frozenset({Trust.VC, Trust.ANSWERED}),
    Effect.REPEAT: frozenset({Trust.VC, Trust.ANSWERED, Trust.CONNECTOR}),
    Effect.CONNECTOR_HEADER: frozenset({Trust.VC, Trust.CONNECTOR}),
    Effect.CONNECTOR_HOST: frozenset({Trust.VC, Trust.CONNECTOR}),
    Effect.STATISTICS: frozenset({Trust.ANSWERED}),
    Effect.RTP: _MEDIA,
    Effect.RTCP: _MEDIA,
}


def takes(effect: Effect, trust: Trust) -> bool:
    """Whether what has this class may have that effect."""
    return trust in TAKES[effect]
