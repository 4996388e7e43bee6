"""`sbcwatch aws NAME`: text on stdout, ready for its tool."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from agent.config.load import load
from agent.config.settings import Config
from agent.errors import ConfigError
from agent.provision.cloudformation import MAIN, apart, template_text, templates
from agent.provision.dashboard import dashboard_text
from agent.provision.grafana import grafana_text
from agent.provision.policy import policy_document
from agent.provision.prometheus import rules_text
from agent.provision.put_alarms import alarm_parameters, is_merged
from agent.provision.queries import queries_text
from agent.provision.quotas import NESTED_RESOURCES, TEMPLATE_DIRECT_BYTES
from agent.provision.scope import home
from agent.provision.terraform import terraform_text

DEFAULT_REGION = "us-east-1"


def dashboard(config: Config, hosts: int = 1) -> str:
    """`aws cloudwatch put-dashboard --dashboard-name sbcwatch --dashboard-body file://...`"""
    return dashboard_text(config, home(config) or DEFAULT_REGION)


def alarms(config: Config, hosts: int = 1) -> str:
    """A JSON list; each element is what `aws cloudwatch put-metric-alarm --cli-input-json` takes."""
    return json.dumps(alarm_parameters(config, hosts), indent=2)


def policy(config: Config, hosts: int = 1) -> str:
    """`aws iam create-policy --policy-document file://...`"""
    return json.dumps(policy_document(config), indent=2)


TEXTS: dict[str, tuple[Callable[[Config, int], str], str]] = {
    "dashboard": (dashboard, "a CloudWatch dashboard"),
    "alarms": (alarms, "the alarms, as parameters of PutMetricAlarm"),
    "policy": (policy, "the least IAM policy for the daemon"),
    "cloudformation": (template_text, "all of it as a CloudFormation template"),
    "terraform": (terraform_text, "all of it as Terraform configuration"),
    "queries": (lambda config, hosts: queries_text(config), "Logs Insights queries over both logs"),
    "grafana": (
        lambda config, hosts: grafana_text(config.web.public_url),
        "a Grafana dashboard over /metrics",
    ),
    "prometheus": (rules_text, "the alarms as Prometheus alert rules"),
}


def aws_command(options: argparse.Namespace) -> int:
    """Prints or writes one of the texts.

    Raises ConfigError beyond AWS's limits, or where the folder cannot be written.
    """
    config = load(options.config)
    hosts = options.hosts or config.cost.hosts
    if options.output:
        if options.text != "cloudformation":
            raise ConfigError("--output is for cloudformation alone: the other texts are one file, on stdout")
        write(Path(options.output), templates(config, hosts))
    else:
        text, _ = TEXTS[options.text]
        printed = text(config, hosts)
        print(printed)
        if options.text == "cloudformation" and len(printed) > TEMPLATE_DIRECT_BYTES:
            _note(f"{len(printed):,} bytes: deploy it by a bucket (--s3-bucket)")
    for note in notes(config) if options.text in ("alarms", "cloudformation", "terraform") else ():
        _note(note)
    if config.aws.role_arn and options.text in ("policy", "cloudformation", "terraform"):
        _note(f"the policy is for {config.aws.role_arn}; the host's own role needs sts:AssumeRole on it")
    return 0


def write(folder: Path, texts: dict[str, str]) -> None:
    """The files into a folder. Raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}: name a folder that can be written") from None
    own = apart(texts)
    nested = len(texts) - len(own) - 1
    more = f" and {nested} that it nests" if nested else ""
    _note(f"{folder / MAIN} written{more}: aws cloudformation package --template-file {folder / MAIN} ...")
    if own:
        names = ", ".join(own)
        _note(
            f"beyond {NESTED_RESOURCES:,} resources in one operation: deploy as stacks of their own: {names}"
        )


def _note(text: str) -> None:
    print(f"sbcwatch: {text}", file=sys.stderr)


def notes(config: Config) -> list[str]:
    """The settings that are missing, and what the printed text lacks without them."""
    lines = []
    if not config.cloudwatch.agent_metrics:
        lines.append(
            "no alarms on capture drops, silent hosts and stuck delivery: set cloudwatch.agent_metrics = "
            "true (8 series a host), or take the rules of `sbcwatch aws prometheus`"
        )
    if is_merged(config):
        others = "all others judge the regions"
        if "Region" not in config.cloudwatch.dimensions:
            others = "there are no others without the dimension Region"
        lines.append(
            f"more than {config.alarms.detailed} connectors (alarms.detailed): three alarms each; {others}"
        )
    return lines
