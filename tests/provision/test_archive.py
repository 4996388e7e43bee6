"""What is printed for the archive: bucket, lifecycle, tables over what the sink writes, the least policy."""

from __future__ import annotations

import json
from typing import Any

from agent.config.load import read
from agent.config.settings import Config
from agent.provision.archive import COLUMNS
from agent.provision.cloudformation import template_text
from agent.provision.policy import policy_document
from agent.provision.terraform import terraform_text
from tests.kit.replayed import scenario

TEXT = '[archive]\nurl = "s3://calls-archive/p/q"\nkeep_days = 14\nkms_key = "abc"\n'


def made(text: str = TEXT) -> Config:
    config, problems = read(text, {})
    assert config is not None, problems
    return config


def resource(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(template_text(made()))["Resources"][name]["Properties"]
    return found


def test_bucket_expires_what_is_old_and_is_encrypted() -> None:
    bucket = resource("Archive")
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Prefix"], rule["ExpirationInDays"]) == ("p/q/", 14)
    assert "aws:kms" in json.dumps(bucket)


def test_table_projects_the_partitions_that_the_sink_writes() -> None:
    table = resource("ArchiveMedia")["TableInput"]
    template_of = table["Parameters"]["storage.location.template"]
    assert template_of == "s3://calls-archive/p/q/kind=media/dt=${dt}/hour=${hour}/"
    assert [key["Name"] for key in table["PartitionKeys"]] == ["dt", "hour"]


def test_columns_are_fields_of_records() -> None:
    heard = scenario("loss-vc2cust")
    rows = {"media": heard.media[0], "calls": heard.calls[0], "sip": heard.sip[0]}
    for kind, row in rows.items():
        assert set(COLUMNS[kind]) <= set(row), kind
        for name, value in row.items():
            if name in COLUMNS[kind] and value is not None:
                wanted = {str: "string", int: "int", float: "double", list: "array", dict: "map"}[type(value)]
                assert wanted in COLUMNS[kind][name] or COLUMNS[kind][name] == "double", name


def test_policy_lets_the_daemon_put_objects_below_the_prefix_and_no_more() -> None:
    statements = {one["Sid"]: one for one in policy_document(made())["Statement"]}
    assert statements["Archive"]["Action"] == "s3:PutObject"
    assert statements["Archive"]["Resource"] == "arn:aws:s3:::calls-archive/p/q/kind=*"
    assert statements["ArchiveKey"]["Action"] == "kms:GenerateDataKey"


def test_terraform_has_the_same_resources() -> None:
    text = terraform_text(made())
    for kind in ("media", "calls", "sip", "metrics"):
        assert f'resource "aws_glue_catalog_table" "{kind}"' in text
    assert "dt=$${dt}/hour=$${hour}/" in text
    assert "days = 14" in text


def test_folder_or_no_archive_needs_nothing_of_aws() -> None:
    for text in ("", '[archive]\nurl = "file:///var/lib/archive"\n'):
        assert "Archive" not in json.loads(template_text(made(text)))["Resources"]
        assert "s3" not in json.dumps(policy_document(made(text)))
