"""Names and regions that CloudWatch and CloudWatch Logs would refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent.config.checks.sides import GROUP_PREFIXES, MAX_GROUP
from agent.config.checks.words import Finding, nearest, twice
from agent.config.settings import Config

MAX_NAMESPACE = 255
MAX_TAGS = 50
_TAG = re.compile(r"[\w .:/=+@-]{0,256}")


def cloudwatch(config: Config) -> Iterator[Finding]:
    """Names that PutMetricData refuses; a dimension set twice would count everything twice."""
    cloudwatch = config.cloudwatch
    name = cloudwatch.namespace
    if not re.fullmatch(r"[A-Za-z0-9._\-/#]+", name) or len(name) > MAX_NAMESPACE:
        text = f"1 to {MAX_NAMESPACE} letters, digits and . _ - / #"
        yield "cloudwatch", "namespace", f'"{name}" is refused by CloudWatch: {text}'
    if cloudwatch.enabled and not cloudwatch.dimensions:
        yield "cloudwatch", "dimensions", "is empty, so nothing would be sent: VoiceConnectorId, Region"
    yield from twice("cloudwatch", "dimensions", cloudwatch.dimensions)
    region = cloudwatch.region
    if region and (known := _regions()) and region not in known:
        near = nearest(region, known)
        yield "cloudwatch", "region", f'"{region}" is no region that boto3 here knows{near}'


def logs(config: Config) -> Iterator[Finding]:
    """Names that CloudWatch Logs refuses; both logs in one group could not be told apart."""
    logs = config.logs
    owners: dict[str, str] = {}
    for key in GROUP_PREFIXES:
        prefix = getattr(logs, key)
        if not re.fullmatch(r"[A-Za-z0-9._\-/#]*", prefix) or len(prefix) >= MAX_GROUP:
            yield "logs", key, f'"{prefix}" is refused by CloudWatch Logs: letters, digits and . _ - / # only'
        elif prefix.startswith("aws/"):
            yield "logs", key, f'"{prefix}" is reserved: begin it with /aws/ or another word'
        if owners.setdefault(prefix, key) != key:
            yield "logs", key, f"is {owners[prefix]} too: give each log groups of its own"
    key_region, region = logs.kms_key.split(":")[3:4], config.cloudwatch.region
    if key_region and region and key_region != [region]:
        yield (
            "logs",
            "kms_key",
            f"is a key of {key_region[0]}, and the groups are made in {region}: AWS refuses it",
        )
    left = logs.stream.replace("{host}", "h")
    if not re.fullmatch(r"[^:*{}]{1,512}", left):
        yield (
            "logs",
            "stream",
            f'"{logs.stream}" names no log stream: no : or *, and {{host}} alone in braces',
        )


def tags(config: Config) -> Iterator[Finding]:
    """Tags that AWS refuses, and with them the group or the stack that has them."""
    tags = config.aws.tags
    if len(tags) > MAX_TAGS:
        yield "aws", "tags", f"are {len(tags)}: AWS takes {MAX_TAGS}"
    for name, value in tags.items():
        if name.lower().startswith("aws:"):
            yield "aws", "tags", f'"{name}" is reserved: no tag may begin with aws:'
        elif not (0 < len(name) <= 128 and _TAG.fullmatch(name) and _TAG.fullmatch(value)):
            text = "letters, digits, blanks and _ . : / = + - @; 128 at most, its value 256"
            yield "aws", "tags", f'"{name}" is refused by AWS: {text}'


def aws_doubts(config: Config) -> Iterator[Finding]:
    if config.aws.external_id and not config.aws.role_arn:
        yield "aws", "external_id", "is for role_arn, which is empty"
    if "Carrier" in config.cloudwatch.dimensions and not config.carriers:
        yield "cloudwatch", "dimensions", "has Carrier, and no carrier is named: nothing is sent for it"
    if config.logs.enabled and "{host}" not in config.logs.stream:
        yield "logs", "stream", "lacks {host}: all hosts would write into one stream"
    known = _regions() if any(c.region != "local" for c in config.connectors) else ()
    for number, connector in enumerate(config.connectors):
        if known and connector.region not in (*known, "local"):
            near = nearest(connector.region, known)
            yield (
                f"connectors[{number}]",
                "region",
                f'"{connector.region}" is no AWS region{near}: is it meant?',
            )


def _regions() -> Sequence[str]:
    """Every region that the installed botocore knows; none where its data cannot be read."""
    from botocore.exceptions import BotoCoreError
    from botocore.loaders import Loader

    try:
        partitions = Loader().load_data("endpoints")["partitions"]
    except BotoCoreError:
        return ()
    return [region for partition in partitions for region in partition["regions"]]
