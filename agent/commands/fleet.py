"""`sbcwatch fleet`: asks ClickHouse for the records of all hosts."""

from __future__ import annotations

import argparse
import re
import sys
import time

from agent.assembly.sinks import clickhouse_server
from agent.config.load import load
from agent.errors import ConfigError, SinkError
from agent.provision.grafana_clickhouse import grafana_text
from agent.sinks.clickhouse import ClickHouse, ClickHouseError
from agent.sinks.clickhouse_schema import schema
from agent.summary.printable import printable_json

_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
# A call goes by its id, or by the Call-ID of any of its legs.
_CALL = """
SELECT 'call' AS type, * FROM {db}.calls FINAL
WHERE toString(transaction_id) = {{id:String}} OR call_id = {{id:String}} OR has(call_ids, {{id:String}})
FORMAT JSONEachRow;
SELECT 'media' AS type, * FROM {db}.media FINAL
WHERE toString(transaction_id) = {{id:String}} OR call_id = {{id:String}} OR has(call_ids, {{id:String}})
ORDER BY event_timestamp, host FORMAT JSONEachRow;
SELECT 'sip' AS type, * FROM {db}.sip FINAL
WHERE toString(transaction_id) = {{id:String}} OR call_id = {{id:String}}
ORDER BY stamp_ns, host FORMAT JSONEachRow
"""
_CARRIERS = """
SELECT carrier, sum(records) AS records, sum(rem2vc_rtp_packets + vc2rem_rtp_packets) AS packets,
    round((sum(rem2vc_packets_lost) + sum(vc2rem_packets_lost))
        / nullIf(sum(rem2vc_known_packets) + sum(rem2vc_packets_lost) + sum(vc2rem_known_packets), 0), 5)
        AS loss,
    round(sum(mos_rem_sum) / nullIf(sum(mos_rem_count), 0), 2) AS mos
FROM {db}.carrier_minute WHERE minute >= toDateTime({{since:UInt32}}, 'UTC')
GROUP BY carrier ORDER BY loss DESC FORMAT PrettyCompactMonoBlock
"""
_FORGET = (
    "ALTER TABLE {db}.calls DELETE WHERE from_sip_user = {{who:String}} OR to_sip_user = {{who:String}} "
    "OR diverted_from = {{who:String}} SETTINGS mutations_sync = 2",
    "ALTER TABLE {db}.media DELETE WHERE from_sip_user = {{who:String}} OR to_sip_user = {{who:String}} "
    "OR has(mapValues(peer_media), {{who:String}}) SETTINGS mutations_sync = 2",
    "ALTER TABLE {db}.sip DELETE WHERE match(sip_message, {{uri:String}}) SETTINGS mutations_sync = 2",
)


def fleet_command(options: argparse.Namespace) -> int:
    """Raises ConfigError, SinkError."""
    config = load(options.config)
    if options.what == "schema":
        hosts = options.hosts or config.cost.hosts
        print(";\n\n".join(schema(config.clickhouse.database, hosts, replicated=not options.single)) + ";")
        return 0
    if options.what == "grafana":
        print(grafana_text(config.clickhouse.database))
        return 0
    if not config.clickhouse.url:
        raise ConfigError("no ClickHouse: set [clickhouse] url")
    server = clickhouse_server(config)
    try:
        return _ASKED[options.what](server, options)
    except ClickHouseError as error:
        raise SinkError(f"ClickHouse: {error}") from None
    except OSError as error:
        raise SinkError(f"ClickHouse: {error}: is [clickhouse] url right?") from None


def _call(server: ClickHouse, options: argparse.Namespace) -> int:
    found = b"".join(
        server.ask(query.format(db=server.database), {"id": options.id}) for query in _CALL.split(";")
    )
    sys.stdout.write(printable_json(found).decode())
    return 0 if found else 1


def _carriers(server: ClickHouse, options: argparse.Namespace) -> int:
    since = int(time.time()) - seconds(options.since)
    sys.stdout.write(server.ask(_CARRIERS.format(db=server.database), {"since": str(since)}).decode())
    return 0


def _forget(server: ClickHouse, options: argparse.Namespace) -> int:
    """A person is a token where numbers are masked, else the user as in records."""
    for query in _FORGET:
        server.ask(query.format(db=server.database), {"who": options.token, "uri": in_message(options.token)})
    print(f"{options.token} is deleted from {server.database}; the archive forgets by its lifecycle")
    return 0


def in_message(who: str) -> str:
    """A pattern (RE2) of SIP messages that name `who`: a token anywhere, a user in a URI only.

    A user like "100" is also a status, a length and a sequence number.
    """
    text = re.escape(who)
    return text if re.fullmatch(r"n-[0-9a-f]+", who) else rf"(?i)(sips?|tel|im|pres):{text}([@;>?:,\s]|$)"


_ASKED = {"call": _call, "carriers": _carriers, "forget": _forget}


def seconds(text: str) -> int:
    """`90m`, `1h`, `7d` in seconds. Raises ConfigError."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not found:
        raise ConfigError(f'--since "{text}" will not do: 90m, 1h or 7d')
    return int(found[1]) * _UNITS[found[2]]
