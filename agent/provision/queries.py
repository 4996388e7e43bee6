"""Logs Insights queries over the media log and the SIP log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, SIDES, SIP_FIELDS


@dataclass(frozen=True, slots=True)
class Query:
    """`log` says which groups it reads."""

    name: str
    log: Literal["media", "sip"]
    text: str


def media(field: str) -> str:
    """`field`, where the media log has it. Raises KeyError."""
    if field not in MEDIA_FIELDS:
        raise KeyError(field)
    return field


def sip(field: str) -> str:
    """`field`, where the SIP log has it. Raises KeyError."""
    if field not in SIP_FIELDS:
        raise KeyError(field)
    return field


def queries() -> list[Query]:
    mos = [media(f"mos_btwn_vc_and_{short}") for _, short, _ in SIDES.values()]
    rtt = [media(f"rtt_btwn_vc_and_{short}") for _, short, _ in SIDES.values()]
    lost = [media(f"{direction}_packets_lost") for direction in DIRECTIONS]
    packets = [media(f"{direction}_rtp_packets") for direction in DIRECTIONS]
    call, who = media("call_id"), [media("from_sip_user"), media("to_sip_user")]
    return [
        Query(
            "worst calls by MOS",
            "media",
            f"fields least({mos[0]}, {mos[1]}) as worst_mos\n"
            f"| filter {mos[0]} < 3.6 or {mos[1]} < 3.6\n"
            f"| stats min({mos[0]}) as mos_customer, min({mos[1]}) as mos_remote, count(*) as minutes "
            f"by {call}, {', '.join(who)}\n| sort mos_customer asc\n| limit 100",
        ),
        Query(
            "lost packets by country and direction",
            "media",
            "stats "
            + ", ".join(f"sum({name}) as {name.removesuffix('_packets_lost')}" for name in lost)
            + f" by {media('from_country')}, {media('to_country')}\n| sort {media('to_country')} asc",
        ),
        Query(
            "quality by far endpoint",
            "media",
            f"stats avg({mos[1]}) as mos, avg({rtt[1]}) as rtt_us, sum({lost[2]}) as lost, "
            f"sum({packets[2]}) as packets by {media('endpoint_id')}\n"
            "| filter packets > 15000\n| sort mos asc\n| limit 50",
        ),
        Query(
            "one call, minute by minute",
            "media",
            f"fields {', '.join([media('event_timestamp'), *mos, *rtt, *lost])}\n"
            f'| filter {call} = "PUT THE CALL-ID HERE"\n| sort {media("event_timestamp")} asc',
        ),
        Query(
            "calls heard one way only",
            "media",
            f"filter ({packets[0]} > 0 and {packets[1]} = 0) or ({packets[1]} > 0 and {packets[0]} = 0)\n"
            f"| stats count(*) as minutes by {call}, {', '.join(who)}\n| sort minutes desc\n| limit 100",
        ),
        Query(
            "messages of one call",
            "sip",
            f"fields {sip('event_timestamp')}, {sip('sip_message')}\n"
            f'| filter {sip("call_id")} = "PUT THE CALL-ID HERE"\n| sort {sip("event_timestamp")} asc',
        ),
        Query(
            "failures by status",
            "sip",
            f"parse {sip('sip_message')} /^SIP\\/2.0 (?<status>[4-6]\\d\\d) (?<reason>[^\\r\\n]*)/\n"
            "| filter ispresent(status)\n"
            f"| stats count_distinct({sip('call_id')}) as calls by status, reason\n| sort calls desc",
        ),
    ]


def queries_text() -> str:
    """All of them, to paste."""
    return "\n\n".join(f"# {query.name} (the {query.log} log)\n{query.text}" for query in queries())
