"""Logs Insights queries over the media log and the SIP log.

Up to 50 groups are named one by one, as the console requires. Beyond that the query itself names their common
prefix by `SOURCE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agent.config.settings import Config
from agent.provision.quotas import QUERY_CHARACTERS, QUERY_GROUPS, within
from agent.provision.scope import groups, prefixes
from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, SIDES, SIP_FIELDS

INDEXED = ("call_id", "transaction_id")  # fields by which both logs are searched
AUTHENTICATION = ("401", "407")  # a challenge is no failure: the request comes again with credentials
NO_CALLS = ("OPTIONS", "REGISTER")
FEW_PACKETS = 15_000  # a share of fewer packets says little


@dataclass(frozen=True, slots=True)
class Query:
    """`log` names the groups that it reads."""

    name: str
    log: Literal["media", "sip"]
    text: str


def media(field: str) -> str:
    """`field`, if the media log has it. Raises KeyError."""
    if field not in MEDIA_FIELDS:
        raise KeyError(field)
    return field


def sip(field: str) -> str:
    """`field`, if the SIP log has it. Raises KeyError."""
    if field not in SIP_FIELDS:
        raise KeyError(field)
    return field


_MOS = [media(f"mos_btwn_vc_and_{short}") for _, short, _ in SIDES.values()]
_RTT = [media(f"rtt_btwn_vc_and_{short}") for _, short, _ in SIDES.values()]
_LOST = {direction: media(f"{direction}_packets_lost") for direction in DIRECTIONS}
_PACKETS = {direction: media(f"{direction}_rtp_packets") for direction in DIRECTIONS}
_WHO = [media("from_sip_user"), media("to_sip_user")]
_TO_VC = ("cust2vc", "rem2vc")  # measured at the vc: lost packets are not among the packets counted


def _known(name: str) -> str:
    """A side's MOS where it is known, else the best possible: an unknown side is never the worst."""
    return f"coalesce({name}, 5)"


def _sent(direction: str) -> str:
    """Packets sent in a minute whose loss is known; with unknown loss this is unknown too."""
    return f"{_PACKETS[direction]} + {1 if direction in _TO_VC else 0} * {_LOST[direction]}"


def _share(direction: str, alias: str) -> str:
    """Lost packets of those sent, in percent."""
    return f"100 * sum({_LOST[direction]}) / sum({_sent(direction)}) as {alias}"


def queries(*, linked: bool = False) -> list[Query]:
    """`linked`: records say where their call's page opens."""
    page = ", latest(page) as call_page" if linked else ""
    call = media("call_id")
    shares = ", ".join(_share(direction, f"{direction}_lost_pct") for direction in DIRECTIONS)
    lost = " + ".join(f"coalesce({name}, 0)" for name in _LOST.values())
    sent = " + ".join(f"coalesce({_sent(direction)}, 0)" for direction in DIRECTIONS)
    return [
        Query(
            "worst calls by MOS",
            "media",
            f"filter ispresent({_MOS[0]}) or ispresent({_MOS[1]})\n"
            f"| fields least({_known(_MOS[0])}, {_known(_MOS[1])}) as worse_side\n"
            f"| stats min(worse_side) as worst_mos, min({_MOS[0]}) as mos_customer, "
            f"min({_MOS[1]}) as mos_remote, count(*) as minutes{page} by {call}, {', '.join(_WHO)}\n"
            "| filter worst_mos < 3.6\n| sort worst_mos asc\n| limit 100",
        ),
        Query(
            "share of lost packets by country",
            "media",
            f"stats 100 * sum({lost}) / sum({sent}) as lost_pct, {shares}, sum({sent}) as packets "
            f"by {media('from_country')}, {media('to_country')}\n"
            f"| filter packets >= {FEW_PACKETS}\n| sort lost_pct desc\n| limit 100",
        ),
        Query(
            "quality by far endpoint",
            "media",
            f"stats avg({_MOS[1]}) as mos, avg({_RTT[1]}) as rtt_us, {_share('rem2vc', 'rem2vc_lost_pct')}, "
            f"sum({_PACKETS['rem2vc']}) as packets by {media('endpoint_id')}\n"
            f"| filter packets >= {FEW_PACKETS}\n| sort rem2vc_lost_pct desc\n| limit 50",
        ),
        Query(
            "one call, minute by minute",
            "media",
            f"fields {', '.join([media('event_timestamp'), *_MOS, *_RTT, *_LOST.values()])}\n"
            f'| filter {call} = "PUT THE CALL-ID HERE"\n| sort {media("event_timestamp")} asc',
        ),
        Query(
            "calls heard one way only",
            "media",
            f"filter ({_PACKETS['cust2vc']} > 0 and {_PACKETS['vc2cust']} = 0) "
            f"or ({_PACKETS['vc2cust']} > 0 and {_PACKETS['cust2vc']} = 0)\n"
            f"| stats count(*) as minutes{page} by {call}, {', '.join(_WHO)}\n| sort minutes desc\n"
            "| limit 100",
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
            f"parse {sip('sip_message')} /^SIP\\/2\\.0 (?<status>[4-6]\\d\\d) (?<reason>[^\\r\\n]*)/\n"
            f"| parse {sip('sip_message')} /(?i)[\\r\\n]CSeq[ \\t]*:\\s*\\d+\\s+(?<method>[A-Z]+)/\n"
            f"| filter ispresent(status) and status not in {_list(AUTHENTICATION)} "
            f"and (not ispresent(method) or method not in {_list(NO_CALLS)})\n"
            f"| stats count_distinct({sip('call_id')}) as calls by status, reason, method\n"
            "| sort calls desc\n| limit 100",
        ),
    ]


def _list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def source(config: Config, log: str) -> str:
    """The line that names the groups by their common prefix."""
    begin = prefixes(config)[log].replace("'", "\\'")
    infrequent = ", class: ['INFREQUENT_ACCESS']" if config.logs.group_class != "STANDARD" else ""
    return f"SOURCE logGroups(namePrefix: ['{begin}']{infrequent})"


def definitions(config: Config) -> list[tuple[Query, list[str], str]]:
    """(query, groups to name, text) of the saved queries, without those of a log that is switched off.

    Raises ConfigError beyond AWS's limits.
    """
    saved = []
    names = groups(config)
    for query in queries(linked=bool(config.web.public_url)):
        if not names[query.log]:
            continue
        named = names[query.log] if len(names[query.log]) <= QUERY_GROUPS else []
        text = query.text if named else f"{source(config, query.log)}\n| {query.text}"
        within(len(text), QUERY_CHARACTERS, f"characters in the query {query.name!r}", "shorten the prefix")
        saved.append((query, named, text))
    return saved


def queries_text(config: Config) -> str:
    """All of them, to paste."""
    return "\n\n".join(
        f"# {query.name} (the {query.log} log)\n{text}" for query, _, text in definitions(config)
    )
