"""A CloudWatch that keeps its own rules: metrics and logs on 127.0.0.1, every documented limit enforced.

Emulators take 1,001 datums, 151 values, wrong units, names that begin with `AWS/`, spans of 25 hours and
stamps from last year. This one answers boto3 as AWS does, with its codes and shapes, keeps what it took so
that it can be read back, and fails on command. Protocols: rpc-v2-cbor, JSON 1.0/1.1 and query (writing only),
each also gzipped.

    with StrictAws() as aws:
        aws.fail("throttle", times=3)
        aws.client("cloudwatch").put_metric_data(...)

`python -m tests.kit.strict_aws [PORT]` serves until interrupted.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOUR = 3_600
DAY = 86_400
MAX_METRIC_BYTES = 1_000_000  # "1 MB": the smaller of the two megabytes, so that both are kept
MAX_LOG_BYTES = 1_048_576
UNITS = {
    "Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
    "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second",
    "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second",
    "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}  # fmt: skip
RETENTIONS = {
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}  # fmt: skip
# CloudWatch's error shapes and the codes that its query protocol (and boto3) know them by.
_QUERY_CODES = {
    "InvalidParameterValueException": "InvalidParameterValue",
    "InvalidParameterCombinationException": "InvalidParameterCombination",
    "MissingRequiredParameterException": "MissingParameter",
    "InternalServiceFault": "InternalServiceError",
}


class Refusal(Exception):
    """An answer that is an error: `code` as the service names it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Epoch(float):
    """Seconds, to be answered as a timestamp."""


@dataclass
class Fault:
    """`kind` or an explicit `code`; `times` None: until healed; `operation` None: any."""

    kind: str
    times: int | None = 1
    operation: str | None = None
    code: str = ""
    status: int = 400


FAULT_CODES: dict[str, tuple[str, str, int]] = {  # kind: (CloudWatch's code, Logs' code, status)
    "throttle": ("Throttling", "ThrottlingException", 400),
    "500": ("InternalServiceFault", "InternalFailure", 500),
    "503": ("ServiceUnavailable", "ServiceUnavailableException", 503),
    "expired_token": ("ExpiredToken", "ExpiredTokenException", 403),
    "denied": ("AccessDenied", "AccessDeniedException", 403),
    "skew": ("RequestTimeTooSkewed", "InvalidSignatureException", 403),
}
CONNECTION_FAULTS = {"hang", "reset", "reset_mid_response", "lost", "drip"}


# --- CloudWatch ---


@dataclass
class Point:
    time_s: float
    unit: str
    values: list[float]
    counts: list[float]


Series = tuple[str, str, tuple[tuple[str, str], ...]]


class Metrics:
    """PutMetricData's rules, and enough reading to prove what was stored."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.points: dict[Series, list[Point]] = defaultdict(list)
        self.sizes: list[tuple[int, int]] = []  # (datums, uncompressed bytes) of each request taken

    def put_metric_data(self, request: dict[str, Any], size: int) -> dict[str, Any]:
        if size > MAX_METRIC_BYTES:
            raise Refusal("RequestEntityTooLarge", "The request's payload exceeds 1 MB.", 413)
        namespace = request.get("Namespace")
        if not namespace:
            raise _missing("Namespace")
        if not re.fullmatch(r"[^:][\x20-\x7e]{0,254}", namespace) or namespace.startswith("AWS/"):
            raise _invalid(f"The value {namespace} for parameter Namespace is invalid.")
        datums = request.get("MetricData")
        if not datums:
            raise _missing("MetricData")
        if len(datums) > 1_000:
            raise _invalid("The collection MetricData must not have a size greater than 1000.")
        points = [
            self._point(namespace, datum, f"MetricData.member.{number}.")
            for number, datum in enumerate(datums, 1)
        ]
        for series, point in points:  # only now: one bad datum fails them all
            self.points[series].append(point)
        self.sizes.append((len(datums), size))
        return {}

    def _point(self, namespace: str, datum: dict[str, Any], where: str) -> tuple[Series, Point]:
        name = datum.get("MetricName")
        if not name:
            raise _missing(where + "MetricName")
        if len(name) > 255 or not name.isascii():
            raise _invalid(f"The value for parameter {where}MetricName is invalid.")
        dimensions = datum.get("Dimensions") or []
        if len(dimensions) > 30:
            raise _invalid(f"The collection {where}Dimensions must not have a size greater than 30.")
        for dimension in dimensions:
            if not 1 <= len(dimension.get("Name", "")) <= 255 or not dimension["Name"].isascii():
                raise _invalid(f"The value for parameter {where}Dimensions.Name is invalid.")
            if not 1 <= len(dimension.get("Value", "")) <= 1024 or not dimension["Value"].isascii():
                raise _invalid(f"The value for parameter {where}Dimensions.Value is invalid.")
        if len({dimension["Name"] for dimension in dimensions}) != len(dimensions):
            raise _invalid(f"No duplicate dimensions are allowed in {where}Dimensions.")
        unit = datum.get("Unit", "None")
        if unit not in UNITS:
            raise _invalid(f"The value {unit} for parameter {where}Unit is invalid.")
        if datum.get("StorageResolution", 60) not in (1, 60):
            raise _invalid(f"The value for parameter {where}StorageResolution is invalid.")
        time_s = float(datum.get("Timestamp", self._now()))
        if not self._now() - 14 * DAY <= time_s <= self._now() + 2 * HOUR:
            raise _invalid(f"The parameter {where}Timestamp must be within two weeks ago and 2 hours ahead.")
        values, counts = _values(datum, where)
        series = (namespace, name, tuple(sorted((d["Name"], d["Value"]) for d in dimensions)))
        return series, Point(time_s, unit, values, counts)

    def list_metrics(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        found = [
            {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
            }
            for namespace, name, dimensions in self.points
            if request.get("Namespace") in (None, namespace) and request.get("MetricName") in (None, name)
        ]
        start = int(request.get("NextToken") or 0)
        answer: dict[str, Any] = {"Metrics": found[start : start + 500]}
        if start + 500 < len(found):
            answer["NextToken"] = str(start + 500)
        return answer

    def get_metric_statistics(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        wanted = list(request.get("Statistics") or []) + list(request.get("ExtendedStatistics") or [])
        datapoints = []
        for time_s, points in sorted(self._periods(request, request).items()):
            row: dict[str, Any] = {"Timestamp": Epoch(time_s), "Unit": points[0].unit}
            for name in wanted:
                if name.startswith("p"):
                    row.setdefault("ExtendedStatistics", {})[name] = statistic(points, name)
                else:
                    row[name] = statistic(points, name)
            datapoints.append(row)
        return {"Label": request["MetricName"], "Datapoints": datapoints}

    def get_metric_data(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        results = []
        for query in request["MetricDataQueries"]:
            stat = query["MetricStat"]
            asked = {**stat["Metric"], "Period": stat["Period"], "Unit": stat.get("Unit")}
            periods = sorted(self._periods(asked, request).items(), reverse=True)
            results.append(
                {
                    "Id": query["Id"],
                    "Label": stat["Metric"]["MetricName"],
                    "Timestamps": [Epoch(time_s) for time_s, _ in periods],
                    "Values": [statistic(points, stat["Stat"]) for _, points in periods],
                    "StatusCode": "Complete",
                }
            )
        return {"MetricDataResults": results, "Messages": []}

    def _periods(self, metric: dict[str, Any], span: dict[str, Any]) -> dict[float, list[Point]]:
        dimensions = tuple(sorted((d["Name"], d["Value"]) for d in metric.get("Dimensions") or []))
        start, end, period = float(span["StartTime"]), float(span["EndTime"]), int(metric["Period"])
        periods: dict[float, list[Point]] = defaultdict(list)
        for point in self.points.get((metric["Namespace"], metric["MetricName"], dimensions), []):
            if start <= point.time_s < end and metric.get("Unit") in (None, point.unit):
                periods[point.time_s // period * period].append(point)
        return periods


def _values(datum: dict[str, Any], where: str) -> tuple[list[float], list[float]]:
    given = [name for name in ("Value", "Values", "StatisticValues") if name in datum]
    if not given:
        raise _missing(where + "Value")
    if len(given) > 1:
        raise Refusal(
            "InvalidParameterCombinationException",
            f"The parameters {where}{given[0]} and {where}{given[1]} are mutually exclusive.",
        )
    if given == ["StatisticValues"]:
        raise _invalid(f"{where}StatisticValues would lose the percentiles; nothing here may send them.")
    values = [float(value) for value in (datum["Values"] if "Values" in datum else [datum["Value"]])]
    counts = [float(count) for count in datum.get("Counts", [1.0] * len(values))]
    if len(values) > 150 or not values:
        raise _invalid(f"The collection {where}Values must not have a size greater than 150.")
    if len(counts) != len(values):
        raise _invalid(f"The collections {where}Values and {where}Counts must have the same size.")
    if not all(math.isfinite(number) and abs(number) <= 2.0**360 for number in (*values, *counts)):
        raise _invalid(f"The value for parameter {where}Value is invalid.")
    if any(count < 0 for count in counts):
        raise _invalid(f"The value for parameter {where}Counts is invalid.")
    return values, counts


def statistic(points: list[Point], name: str) -> float:
    """Sum, Average, SampleCount, Minimum, Maximum, or a percentile such as p99 over all points."""
    pairs = sorted((v, c) for point in points for v, c in zip(point.values, point.counts, strict=True))
    count = math.fsum(c for _, c in pairs)
    total = math.fsum(v * c for v, c in pairs)
    if name.startswith("p"):
        rank, seen = float(name[1:]) / 100 * count, 0.0
        for value, weight in pairs:
            seen += weight
            if seen >= rank - 1e-9:
                return value
        return pairs[-1][0]
    return {
        "Sum": total,
        "SampleCount": count,
        "Average": total / count if count else 0.0,
        "Minimum": pairs[0][0],
        "Maximum": pairs[-1][0],
    }[name]


def _invalid(message: str) -> Refusal:
    return Refusal("InvalidParameterValueException", message)


def _missing(name: str) -> Refusal:
    return Refusal("MissingRequiredParameterException", f"The parameter {name} is required.")


# --- CloudWatch Logs ---


@dataclass
class Group:
    created_ms: int
    retention_days: int | None = None
    streams: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Logs:
    """PutLogEvents' rules, groups and streams, and reading back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.groups: dict[str, Group] = {}
        self.sizes: list[tuple[int, int]] = []  # (events, counted bytes) of each request taken

    def create_log_group(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        name = request.get("logGroupName", "")
        if not re.fullmatch(r"[.\-_/#A-Za-z0-9]{1,512}", name) or name.startswith("aws/"):
            raise Refusal("InvalidParameterException", "Value at 'logGroupName' failed to satisfy constraint")
        if name in self.groups:
            raise Refusal("ResourceAlreadyExistsException", "The specified log group already exists")
        self.groups[name] = Group(int(self._now() * 1000))
        return {}

    def create_log_stream(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        group = self._group(request)
        name = request.get("logStreamName", "")
        if not re.fullmatch(r"[^:*]{1,512}", name):
            raise Refusal(
                "InvalidParameterException", "Value at 'logStreamName' failed to satisfy constraint"
            )
        if name in group.streams:
            raise Refusal("ResourceAlreadyExistsException", "The specified log stream already exists")
        group.streams[name] = []
        return {}

    def put_retention_policy(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        if request.get("retentionInDays") not in RETENTIONS:
            raise Refusal("InvalidParameterException", "Value at 'retentionInDays' is not a valid value")
        self._group(request).retention_days = request["retentionInDays"]
        return {}

    def put_log_events(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        group = self._group(request)
        stream = self._stream(group, request)
        events = request.get("logEvents") or []
        if not 1 <= len(events) <= 10_000:
            raise _bad_events("Log events in a single PutLogEvents request must number 1 to 10000.")
        sizes = [len(event["message"].encode()) + 26 for event in events]
        if min(sizes) == 26:
            raise _bad_events("Log event message must not be empty.")
        if max(sizes) > MAX_LOG_BYTES:
            raise _bad_events(f"Log event too large: {max(sizes)} bytes exceeds limit of {MAX_LOG_BYTES}")
        if sum(sizes) > MAX_LOG_BYTES:
            raise _bad_events(f"Upload too large: {sum(sizes)} bytes exceeds limit of {MAX_LOG_BYTES}")
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            raise _bad_events("Log events in a single PutLogEvents request must be in chronological order.")
        now = self._now()
        oldest, newest = (now - 14 * DAY) * 1000, (now + 2 * HOUR) * 1000
        kept_from = (now - (group.retention_days or 36_500) * DAY) * 1000
        valid = [time_ms for time_ms in times if oldest <= time_ms <= newest]
        if valid and valid[-1] - valid[0] > DAY * 1000:
            raise _bad_events(
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
            )
        rejected: dict[str, int] = {}
        too_old = sum(time_ms < oldest for time_ms in times)
        expired = sum(time_ms < kept_from for time_ms in times)
        too_new = sum(time_ms > newest for time_ms in times)
        if too_old:
            rejected["tooOldLogEventEndIndex"] = too_old
        if expired > too_old:
            rejected["expiredLogEventEndIndex"] = expired
        if too_new:
            rejected["tooNewLogEventStartIndex"] = len(times) - too_new
        taken = events[max(too_old, expired) : len(times) - too_new]
        stream += [{**event, "ingestionTime": int(now * 1000)} for event in taken]
        self.sizes.append((len(events), sum(sizes)))
        return {"rejectedLogEventsInfo": rejected} if rejected else {}

    def describe_log_groups(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        prefix = request.get("logGroupNamePrefix", "")
        return {
            "logGroups": [
                {"logGroupName": name, "creationTime": group.created_ms}
                | ({"retentionInDays": group.retention_days} if group.retention_days else {})
                for name, group in sorted(self.groups.items())
                if name.startswith(prefix)
            ]
        }

    def describe_log_streams(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        return {"logStreams": [{"logStreamName": name} for name in sorted(self._group(request).streams)]}

    def get_log_events(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        stream = self._stream(self._group(request), request)
        start = int(str(request.get("nextToken") or "f/0").split("/")[1])
        limit = int(request.get("limit") or 10_000)
        page = sorted(stream, key=lambda event: int(event["timestamp"]))[start : start + limit]
        token = f"f/{start + len(page)}"
        return {"events": page, "nextForwardToken": token, "nextBackwardToken": "b/0"}

    def filter_log_events(self, request: dict[str, Any], _size: int) -> dict[str, Any]:
        start_ms, end_ms = request.get("startTime", 0), request.get("endTime", math.inf)
        found = [
            {**event, "logStreamName": name, "eventId": f"{name}-{number}"}
            for name, events in self._group(request).streams.items()
            for number, event in enumerate(events)
            if start_ms <= event["timestamp"] < end_ms
        ]
        found.sort(key=lambda event: int(event["timestamp"]))
        start, limit = int(request.get("nextToken") or 0), int(request.get("limit") or 10_000)
        answer: dict[str, Any] = {"events": found[start : start + limit]}
        if start + limit < len(found):
            answer["nextToken"] = str(start + limit)
        return answer

    def _group(self, request: dict[str, Any]) -> Group:
        name = request.get("logGroupName", "")
        if name not in self.groups:
            raise Refusal("ResourceNotFoundException", "The specified log group does not exist.")
        return self.groups[name]

    def _stream(self, group: Group, request: dict[str, Any]) -> list[dict[str, Any]]:
        name = request.get("logStreamName", "")
        if name not in group.streams:
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        return group.streams[name]


def _bad_events(message: str) -> Refusal:
    return Refusal("InvalidParameterException", message)


# --- The server ---


class StrictAws:
    """`now` gives epoch seconds for the windows; `faults` are used up in the order given."""

    def __init__(self, now: Callable[[], float] = time.time, port: int = 0) -> None:
        self.metrics = Metrics(now)
        self.logs = Logs(now)
        self.requests: list[str] = []  # operations asked for, failed ones too
        self.encodings: list[tuple[str, str, str]] = []  # (operation, content type, content encoding)
        self.released = threading.Event()  # ends every hang
        self.asked = threading.Condition()  # notified at each request
        self._faults: list[Fault] = []
        self._state = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.aws = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> StrictAws:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client of this server; `config` goes to botocore's Config."""
        import boto3
        from botocore.config import Config

        settings: dict[str, Any] = {"connect_timeout": 30, "read_timeout": 60}
        settings["retries"] = {"mode": "standard", "total_max_attempts": 1}
        new: Any = boto3.client  # it has an overload for each of AWS's services
        return new(
            service,
            region_name="us-east-1",
            endpoint_url=self.endpoint_url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**(settings | config)),
        )

    def fail(
        self,
        kind: str = "",
        *,
        times: int | None = 1,
        operation: str | None = None,
        code: str = "",
        status: int = 400,
    ) -> None:
        assert code or kind in FAULT_CODES or kind in CONNECTION_FAULTS, kind
        with self._state:
            self._faults.append(Fault(kind, times, operation, code, status))

    def heal(self) -> None:
        with self._state:
            self._faults.clear()

    def handle(self, service: str, operation: str, request: dict[str, Any], size: int) -> tuple[Any, str]:
        """The answer, and the connection fault to commit while giving it.

        Raises: Refusal.
        """
        with self._state:
            fault = self._take_fault(operation)
            if fault is not None and fault.kind not in CONNECTION_FAULTS:
                code, of_logs, status = FAULT_CODES.get(fault.kind, (fault.code, fault.code, fault.status))
                what = f"{fault.kind or fault.code} on command"
                raise Refusal(of_logs if service == "logs" else code, what, status)
            kind = "" if fault is None else fault.kind
            if kind in ("hang", "reset"):  # nothing is stored
                return {}, kind
            name = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
            method = getattr(self.logs if service == "logs" else self.metrics, name, None)
            if method is None or name.startswith("_"):
                raise Refusal("UnknownOperationException", f"{operation} is not spoken here")
            return method(request, size), kind

    def _take_fault(self, operation: str) -> Fault | None:
        for fault in self._faults:
            if fault.operation in (None, operation):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    aws: StrictAws

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: 40 ms of delayed ACK otherwise
    server: _Server

    def do_POST(self) -> None:
        aws = self.server.aws
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        protocol, service, operation, request = self._parse(body)
        with aws.asked:
            aws.requests.append(operation)
            aws.encodings.append(
                (operation, self.headers.get("Content-Type", ""), self.headers.get("Content-Encoding", ""))
            )
            aws.asked.notify_all()
        kind, status, error = "", 200, ""
        try:
            if "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
                raise Refusal("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
            answer, kind = aws.handle(service, operation, request, len(body))
        except Refusal as refusal:
            status, error = refusal.status, refusal.code
            answer = {"__type": error, "message": refusal.message}
        self._answer(protocol, status, answer, error, kind)

    def _parse(self, body: bytes) -> tuple[str, str, str, dict[str, Any]]:
        if self.headers.get("smithy-protocol") == "rpc-v2-cbor":
            return "cbor", "cloudwatch", self.path.rsplit("/", 1)[1], cbor_decode(body)
        target = self.headers.get("X-Amz-Target")
        if target:
            prefix, operation = target.split(".")
            service = "logs" if prefix.startswith("Logs") else "cloudwatch"
            return "json", service, operation, json.loads(body or b"{}")
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        return "query", "cloudwatch", form.pop("Action", ""), _unflatten(form)

    def _answer(self, protocol: str, status: int, answer: dict[str, Any], error: str, kind: str) -> None:
        headers = {"x-amzn-RequestId": "00000000-0000-0000-0000-000000000000"}
        if error in _QUERY_CODES:
            headers["x-amzn-query-error"] = f"{_QUERY_CODES[error]};Sender"
        if protocol == "cbor":
            headers |= {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
            body = cbor_encode(answer)
        elif protocol == "json":
            headers["Content-Type"] = "application/x-amz-json-1.1"
            body = json.dumps(answer).encode()
        else:
            headers["Content-Type"] = "text/xml"
            code = _QUERY_CODES.get(error, error)
            text = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>refused</Message></Error>"
            body = (
                f"<ErrorResponse>{text}</ErrorResponse>" if error else "<R><ResponseMetadata/></R>"
            ).encode()
        if kind == "hang":
            self.server.aws.released.wait()
        if kind in ("hang", "lost"):
            self.close_connection = True
            return
        if kind == "reset":
            self._reset()
            return
        self.send_response(status)
        headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        if kind == "reset_mid_response":
            self.wfile.write(b"".join(self._headers_buffer)[:-4])
            self.wfile.flush()
            self._reset()
            return
        if kind == "drip":
            head = b"".join(self._headers_buffer) + b"\r\n"
            self._headers_buffer: list[bytes] = []
            for byte in head + body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                self.server.aws.released.wait(0.001)
            return
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self._headers_buffer = []
        # The file objects hold the socket open; shutting it down with no linger sends the RST.
        self.rfile.close()
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: tests read `requests`."""


# --- Protocols ---


def cbor_encode(value: Any) -> bytes:
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, Epoch):
        return b"\xc1\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        return _cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _cbor_head(4, len(value)) + b"".join(map(cbor_encode, value))
    items = b"".join(cbor_encode(key) + cbor_encode(item) for key, item in value.items())
    return _cbor_head(5, len(value)) + items


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise OverflowError(number)


def cbor_decode(body: bytes) -> Any:
    return _cbor_item(memoryview(body), 0)[0] if body else {}


def _cbor_item(data: memoryview, at: int) -> tuple[Any, int]:
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if info in (20, 21, 22, 23):
            return {20: False, 21: True}.get(info), at
        form, size = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}[info]
        return struct.unpack(form, data[at : at + size])[0], at + size
    number = info
    if info >= 24:
        size = 1 << (info - 24)
        number, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major in (0, 1):
        return (number if major == 0 else -1 - number), at
    if major in (2, 3):
        raw = bytes(data[at : at + number])
        return (raw if major == 2 else raw.decode()), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _cbor_item(data, at)
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(number):
            key, at = _cbor_item(data, at)
            pairs[key], at = _cbor_item(data, at)
        return pairs, at
    return _cbor_item(data, at)  # a tag: the timestamp behind it is a plain number


def _unflatten(form: dict[str, str]) -> dict[str, Any]:
    """`A.member.1.B=x` of the query protocol as {"A": [{"B": "x"}]}, numbers and times read as such."""
    root: dict[str, Any] = {}
    for path, value in form.items():
        node = root
        *parents, last = path.replace(".member.", ".#").split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = value
    return {name: _listed(name, node) for name, node in root.items()}


def _listed(name: str, node: Any) -> Any:
    if isinstance(node, str):
        if name.startswith("Timestamp"):
            from datetime import datetime

            return datetime.fromisoformat(node.replace("Z", "+00:00")).timestamp()
        return float(node) if name.lstrip("#").isdigit() or (name == "Value" and _number(node)) else node
    if node and all(key.startswith("#") for key in node):
        return [_listed(key, node[key]) for key in sorted(node, key=lambda key: int(key[1:]))]
    return {key: _listed(key, item) for key, item in node.items()}


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with StrictAws(port=port) as aws:
        print(aws.endpoint_url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
