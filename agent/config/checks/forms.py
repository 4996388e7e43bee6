"""Settings whose text has a form: ARNs, URLs, names. One row each; an empty text is no setting."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.config.checks.words import Finding
from agent.config.settings import Config

_PORT = "([1-9]|[1-9][0-9]{1,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = rf"(\[[0-9A-Fa-f:.]+\]|[^/?#@:\s]+)(:{_PORT})?"
# S3 takes no bucket that looks like an address, and none with two dots together.
_BUCKET = r"(?!\d+(\.\d+){3}(/|$))(?![^/]*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_ARN = r"arn:aws[\w-]*:"

# Section, key, form, and what to write.
FORMS = (
    ("fleet", "host", r"[A-Za-z0-9._-]{1,64}", "letters, digits and . _ - only, 64 at most"),
    ("fleet", "board", rf"rediss?://{_HOST}(/\d*)?", "write it as rediss://valkey.example:6379"),
    (
        "archive",
        "url",
        rf"s3://{_BUCKET}(/[^?#]*)?|file:///[^?#]+",
        "s3://BUCKET/PREFIX or file:///FOLDER",
    ),
    ("clickhouse", "url", rf"https?://{_HOST}/?", "write it as https://HOST:8443"),
    ("clickhouse", "database", r"[A-Za-z_]\w{0,63}", "letters, digits and _ only"),
    ("otlp", "url", rf"https?://{_HOST}(/[^?#\s]*)?", "write it as https://HOST:4318"),
    # CreateLogGroup takes a key's ARN, neither its alias nor its id.
    (
        "logs",
        "kms_key",
        rf"{_ARN}kms:[\w-]+:\d{{12}}:key/[\w-]+",
        "write arn:aws:kms:REGION:ACCOUNT:key/ID",
    ),
    (
        "aws",
        "role_arn",
        rf"{_ARN}iam::\d{{12}}:role/[\w+=,.@/-]+",
        "write arn:aws:iam::ACCOUNT:role/NAME",
    ),
    ("aws", "external_id", r"[\w+=,.@:/-]{2,1224}", "2 to 1,224 letters, digits and + = , . @ : / -"),
    ("aws", "proxy", rf"https?://([^/?#@\s]*@)?{_HOST}/?", "write it as http://HOST:3128"),
    (
        "alarms",
        "runbook_url",
        r"https?://[^/?#\s][^#\s]*",
        "write it as https://wiki.example/sbcwatch/runbook",
    ),
)


def forms(config: Config) -> Iterator[Finding]:
    for section, key, form, instead in FORMS:
        text = getattr(getattr(config, section), key)
        if text and not re.fullmatch(form, text):
            # A URL with a password in it is not printed.
            shown = re.sub(r"(?<=//).*@", "...@", text)
            yield section, key, f'"{shown}" will not do: {instead}'
