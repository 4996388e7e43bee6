"""Trust classes: the evidence for a frame or message, and the one table of what each class may change.

Addresses can be forged and ports can be guessed, so each packet is weighed by the evidence for its sender. A
class is given once: to a SIP message when its leg is found (`agent/calls/signalling_cy.py`), to a stream and
to an RTCP packet when the owner of its socket is known (`agent/media/evidence.py`). A frame from a tunnel has
the class of its inner addresses: live, only configured tunnels are opened.
"""

from __future__ import annotations

import enum


class Trust(enum.IntEnum):
    """From the most trusted to the least."""

    VC = 0  # the vc sent it itself
    # the vc deals with this source on this leg, has asked it something, or sends media to it from that socket
    ANSWERED = 1
    NAMED = 2  # an SDP of the leg names its source address
    CONNECTOR = 3  # from the connector's own networks
    # neither answered nor named, and no other source runs on that socket: NAT, before the vc answers
    ALONE = 4
    UNKNOWN = 5


class Effect(enum.StrEnum):
    """Figures and state that a packet or message can change."""

    DIALOG = (
        "dialog"  # ends (BYE, CANCEL), decides (a response), moves media (SDP), proves that a dialog is up
    )
    REPEAT = "repeat"  # an INVITE is a retry or a branch of an attempt that is there
    CONNECTOR_HEADER = "connector_header"  # X-VoiceConnector-ID
    CONNECTOR_HOST = "connector_host"  # From and Contact name a connector's domain
    SIP_CODE = "sip_code"  # a response counts in its class
    REPLACES = "replaces"  # an INVITE takes another leg's place before the vc accepts it
    STATISTICS = "statistics"  # X-RTP-Stat, PUBLISH and NOTIFY with a quality report
    RTP = "rtp"  # packets, loss, jitter, MOS; that a call is alive
    RTCP = "rtcp"  # RTCP packets and bytes; loss and jitter away from the vc, round trips, the far end's view


_MEDIA = frozenset({Trust.VC, Trust.ANSWERED, Trust.NAMED, Trust.ALONE})

TAKES: dict[Effect, frozenset[Trust]] = {
    # From another class it waits for the vc's confirmation: its 2xx to the request, its ACK of the response
    # (calls/unproven).
    Effect.DIALOG: frozenset({Trust.VC, Trust.ANSWERED}),
    Effect.REPEAT: frozenset({Trust.VC, Trust.ANSWERED, Trust.CONNECTOR}),
    Effect.CONNECTOR_HEADER: frozenset({Trust.VC, Trust.CONNECTOR}),
    Effect.CONNECTOR_HOST: frozenset({Trust.VC, Trust.CONNECTOR}),
    Effect.SIP_CODE: frozenset({Trust.VC, Trust.ANSWERED}),
    Effect.REPLACES: frozenset({Trust.VC, Trust.ANSWERED, Trust.CONNECTOR}),
    Effect.STATISTICS: frozenset({Trust.ANSWERED}),
    Effect.RTP: _MEDIA,
    Effect.RTCP: _MEDIA,
}


def takes(effect: Effect, trust: Trust) -> bool:
    """Whether a packet or message of this class may have that effect."""
    return trust in TAKES[effect]
