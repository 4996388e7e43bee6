"""A stand-in for Terraform's AWS provider: the real one's schema of what we use, and nothing behind it.

The provider is a program of hundreds of megabytes that `terraform init` downloads. `terraform validate` asks
it for schemas only, over the plugin protocol (tfplugin6 over gRPC on a Unix socket), so this much answers it
where nothing can be downloaded. What it cannot tell is what the provider checks of values: lengths, ARNs.

Attributes are what the provider documents from 4.40 to 6.23: `!` required, `?` optional, others computed.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Schema = Mapping[
    str, Any
]  # attribute to type and mark; block to [(least, most), its schema, "list" or "set"]

STRINGS, TAGS = ["set", "string"], ["map", "string"]
METRIC: Schema = {
    "dimensions?": TAGS, "metric_name!": "string", "namespace?": "string", "period!": "number",
    "stat!": "string", "unit?": "string",
}  # fmt: skip
METRIC_QUERY: Schema = {
    "account_id?": "string", "expression?": "string", "id!": "string", "label?": "string",
    "period?": "number", "return_data?": "bool", "metric": ("list", 1, METRIC),
}  # fmt: skip
RESOURCES: Mapping[str, Schema] = {
    "aws_cloudwatch_metric_alarm": {
        "actions_enabled?": "bool", "alarm_actions?": STRINGS, "alarm_description?": "string",
        "alarm_name!": "string", "arn": "string", "comparison_operator!": "string",
        "datapoints_to_alarm?": "number", "dimensions?": TAGS,
        "evaluate_low_sample_count_percentiles?": "string", "evaluation_periods!": "number",
        "extended_statistic?": "string", "id": "string", "insufficient_data_actions?": STRINGS,
        "metric_name?": "string", "namespace?": "string", "ok_actions?": STRINGS, "period?": "number",
        "statistic?": "string", "tags?": TAGS, "threshold?": "number", "threshold_metric_id?": "string",
        "treat_missing_data?": "string", "unit?": "string", "metric_query": ("set", 0, METRIC_QUERY),
    },
    "aws_cloudwatch_dashboard": {
        "dashboard_arn": "string", "dashboard_body!": "string", "dashboard_name!": "string", "id": "string",
    },
    "aws_cloudwatch_log_group": {
        "arn": "string", "deletion_protection_enabled?": "bool", "id": "string", "kms_key_id?": "string",
        "log_group_class?": "string", "name?": "string", "name_prefix?": "string",
        "retention_in_days?": "number", "skip_destroy?": "bool", "tags?": TAGS,
    },
    "aws_cloudwatch_log_index_policy": {
        "id": "string", "log_group_name!": "string", "policy_document!": "string",
    },
    "aws_cloudwatch_query_definition": {
        "id": "string", "log_group_names?": ["list", "string"], "name!": "string",
        "query_definition_id": "string", "query_string!": "string",
    },
    "aws_iam_policy": {
        "arn": "string", "description?": "string", "id": "string", "name?": "string",
        "name_prefix?": "string", "path?": "string", "policy!": "string", "policy_id": "string",
        "tags?": TAGS,
    },
}  # fmt: skip
DATA: Mapping[str, Schema] = {
    # `name` is deprecated since 6 and `region` new with it: what both have is `id`.
    "aws_region": {"description": "string", "endpoint?": "string", "id": "string"},
    "aws_caller_identity": {"account_id": "string", "arn": "string", "id": "string", "user_id": "string"},
    "aws_partition": {
        "dns_suffix": "string", "id": "string", "partition": "string", "reverse_dns_prefix": "string",
    },
}  # fmt: skip
PROVIDER: Schema = {"region?": "string", "profile?": "string"}


# --- protocol buffers: a message is its fields' bytes


def number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def text(field: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def block(schema: Schema) -> bytes:
    return b"".join(_block_items(schema))


def _block_items(schema: Schema) -> Iterator[bytes]:
    for marked, kind in schema.items():
        name = marked.rstrip("!?")
        if isinstance(kind, tuple):
            nesting, most, inner = kind
            nested = text(1, name) + text(2, block(inner)) + number(3, {"list": 2, "set": 3}[nesting])
            yield text(3, nested + (number(5, most) if most else b""))
        else:
            mark = {"!": 4, "?": 5}.get(marked[-1], 6)  # Attribute.required, .optional, .computed
            yield text(2, text(1, name) + text(2, json.dumps(kind)) + number(mark, 1))


def schemas() -> bytes:
    """GetProviderSchema.Response."""

    def entries(field: int, named: Mapping[str, Schema]) -> bytes:
        pairs = (text(1, name) + text(2, text(2, block(schema))) for name, schema in named.items())
        return b"".join(text(field, pair) for pair in pairs)

    return text(1, text(2, block(PROVIDER))) + entries(2, RESOURCES) + entries(3, DATA)


# --- the plugin


def serve() -> None:
    """Until Terraform says shut down, or is gone."""
    import grpc

    done = threading.Event()
    answers: dict[str, Callable[[], bytes]] = {
        "/tfplugin6.Provider/GetProviderSchema": schemas,
        # An empty message: no fault found.
        "/tfplugin6.Provider/ValidateProviderConfig": bytes,
        "/tfplugin6.Provider/ValidateResourceConfig": bytes,
        "/tfplugin6.Provider/ValidateDataResourceConfig": bytes,
        "/tfplugin6.Provider/StopProvider": bytes,
        "/plugin.GRPCController/Shutdown": bytes,
    }

    class Handler(grpc.GenericRpcHandler):
        def service(self, called: Any) -> Any:
            answer = answers.get(called.method)
            if answer is None:
                return None

            def reply(request: bytes, context: object) -> bytes:
                if called.method.endswith("/Shutdown"):
                    done.set()
                return answer()

            return grpc.unary_unary_rpc_method_handler(reply)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "socket")
        server.add_insecure_port(f"unix:{path}")
        server.start()
        print(f"1|6|unix|{path}|grpc|", flush=True)  # the handshake: core and plugin protocol, address
        done.wait(60)
        server.stop(1).wait()


if __name__ == "__main__":
    serve()
