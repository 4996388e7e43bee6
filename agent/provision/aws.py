"""`sbcwatch aws NAME`: text on stdout, ready for the tool that takes it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from agent.config.load import load
from agent.config.settings import Config
from agent.provision.alarms import alarm_parameters
from agent.provision.cloudformation import template_text
from agent.provision.dashboard import dashboard_text
from agent.provision.grafana import grafana_text
from agent.provision.policy import policy_document
from agent.provision.prometheus import rules_text
from agent.provision.queries import queries_text
from agent.provision.terraform import terraform_text

DEFAULT_REGION = "us-east-1"


def dashboard(config: Config, hosts: int = 1) -> str:
    """`aws cloudwatch put-dashboard --dashboard-name sbcwatch --dashboard-body file://...`"""
    known = [config.cloudwatch.region, *(c.region for c in config.connectors if c.region != "local")]
    return dashboard_text(config, next(filter(None, known), DEFAULT_REGION))


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
    "queries": (lambda config, hosts: queries_text(), "Logs Insights queries over both logs"),
    "grafana": (lambda config, hosts: grafana_text(), "a Grafana dashboard over /metrics"),
    "prometheus": (rules_text, "the alarms as Prometheus alert rules"),
}


def aws_command(options: argparse.Namespace) -> int:
    config = load(options.config)
    text, _ = TEXTS[options.text]
    print(text(config, options.hosts or config.cost.hosts))
    for note in notes(config) if options.text in ("alarms", "cloudformation", "terraform") else ():
        print(f"sbcwatch: {note}", file=sys.stderr)
    return 0


def notes(config: Config) -> list[str]:
    """What the printed text lacks for the lack of a setting."""
    if config.cloudwatch.agent_metrics:
        return []
    return [
        "no alarms on capture drops and stuck delivery: set cloudwatch.agent_metrics = true "
        "(8 series a host), or take the rules of `sbcwatch aws prometheus`"
    ]
