"""The archive's bucket with its lifecycle, and tables over it for Athena.

Partitions are projected from the names of the objects, so nobody adds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from agent.config.settings import Config
from agent.provision.hcl import HclBlock, Raw
from agent.summary.catalog import MEDIA_FIELDS

FIRST_DAY = "2026-01-01"  # there are no earlier records
_TEXTS = frozenset(
    [
        "voice_connector_id",
        "call_id",
        "from_sip_user",
        "from_country",
        "to_sip_user",
        "to_country",
        "endpoint_id",
        "aws_region",
    ]
)
_IDS = {"host": "string", "transaction_id": "string", "key_id": "string"}
_MEDIA = {
    **{
        name: "string"
        if name in _TEXTS
        else "double"
        if name.endswith("jitter") or name.startswith(("rtt", "mos"))
        else "bigint"
        for name in MEDIA_FIELDS
    },
    **_IDS,
    "record_id": "string",
    "part": "int",
    "start_ts": "bigint",
    "carrier": "string",
    "codec": "string",
    "peer_media": "map<string,string>",
    "call_ids": "array<string>",
    "flags": "array<string>",
    "vc_lost": "bigint",
    "mos_directions": "map<string,double>",
}
COLUMNS: dict[str, dict[str, str]] = {
    "media": _MEDIA,
    "calls": {
        "call_id": "string",
        "call_ids": "array<string>",
        "voice_connector_id": "string",
        "direction": "string",
        "from_sip_user": "string",
        "to_sip_user": "string",
        "invite_ns": "bigint",
        "answer_ns": "bigint",
        "end_ns": "bigint",
        "status": "int",
        "outcome": "string",
        "end_reason": "string",
        "ended_by": "string",
        "setup_ms": "double",
        "ring_ms": "double",
        "flags": "array<string>",
        **_IDS,
        "carrier": "string",
        "codec": "string",
        "worst_direction": "string",
        "schema_version": "int",
        "aws_region": "string",
        "from_country": "string",
        "to_country": "string",
        "duration_seconds": "double",
        "page": "string",
    },
    "sip": {
        "voice_connector_id": "string",
        "aws_region": "string",
        "event_timestamp": "bigint",
        "call_id": "string",
        "sip_message": "string",
        **_IDS,
    },
    "metrics": {
        "event_timestamp": "bigint",
        "part": "int",
        "host": "string",
        "voice_connector_id": "string",
        "region": "string",
        "values": "map<string,string>",
    },
}


def bucket_and_prefix(config: Config) -> tuple[str, str] | None:
    """The archive's bucket and prefix; None where it is in no bucket.

    The prefix ends with a slash or is empty.
    """
    place = urlsplit(config.archive.url)
    prefix = place.path.strip("/")
    return (place.netloc, prefix + "/" if prefix else "") if place.scheme == "s3" else None


def table_input(config: Config, kind: str) -> dict[str, Any]:
    """Glue's `TableInput` of one kind of record."""
    found = bucket_and_prefix(config)
    assert found is not None
    root = f"s3://{found[0]}/{found[1]}kind={kind}/"
    return {
        "Name": f"sbcwatch_{kind}",
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "classification": "json",
            "compressionType": "gzip",
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy-MM-dd",
            "projection.dt.range": f"{FIRST_DAY},NOW",
            "projection.hour.type": "integer",
            "projection.hour.range": "0,23",
            "projection.hour.digits": "2",
            # Below are the hosts' folders, which Athena reads all; `host` is a column of each record.
            "storage.location.template": f"{root}dt=${{dt}}/hour=${{hour}}/",
        },
        "PartitionKeys": [{"Name": "dt", "Type": "string"}, {"Name": "hour", "Type": "string"}],
        "StorageDescriptor": {
            "Location": root,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {
                "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                "Parameters": {"ignore.malformed.json": "true"},
            },
            "Columns": [{"Name": name, "Type": kind} for name, kind in COLUMNS[kind].items()],
        },
    }


def resources(config: Config) -> dict[str, Any]:
    """CloudFormation's resources: bucket, database, a table a kind."""
    found = bucket_and_prefix(config)
    if found is None:
        return {}
    bucket, prefix = found
    algorithm: dict[str, Any] = {"SSEAlgorithm": "AES256"}
    if config.archive.kms_key:
        algorithm = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": config.archive.kms_key}
    resources: dict[str, Any] = {
        "Archive": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": bucket,
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {
                            "ServerSideEncryptionByDefault": algorithm,
                            "BucketKeyEnabled": bool(config.archive.kms_key),
                        }
                    ]
                },
                "PublicAccessBlockConfiguration": dict.fromkeys(
                    ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"),
                    True,
                ),
                "LifecycleConfiguration": {
                    "Rules": [
                        {
                            "Id": "sbcwatch",
                            "Status": "Enabled",
                            "Prefix": prefix,
                            "ExpirationInDays": config.archive.keep_days,
                        }
                    ]
                },
            },
        },
        "ArchiveDatabase": {
            "Type": "AWS::Glue::Database",
            "Properties": {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseInput": {"Name": "sbcwatch"}},
        },
    }
    for kind in config.archive.kinds:
        resources[f"Archive{kind.capitalize()}"] = {
            "Type": "AWS::Glue::Table",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseName": {"Ref": "ArchiveDatabase"},
                "TableInput": table_input(config, kind),
            },
        }
    return resources


def blocks(config: Config) -> list[HclBlock]:
    """The same as Terraform's resources."""
    found = bucket_and_prefix(config)
    if found is None:
        return []
    bucket, prefix = found
    of_bucket = ("bucket", Raw("aws_s3_bucket.archive.id"))
    kms = config.archive.kms_key
    encryption: list[tuple[str, Any]] = [("sse_algorithm", "aws:kms" if kms else "AES256")]
    encryption += [("kms_master_key_id", kms)] if kms else []
    flags = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    default = HclBlock("apply_server_side_encryption_by_default", (), encryption)
    expiry = HclBlock("expiration", (), [("days", config.archive.keep_days)])
    objects = HclBlock("filter", (), [("prefix", prefix)])
    rule: list[tuple[str, Any] | HclBlock] = [("id", "sbcwatch"), ("status", "Enabled"), objects, expiry]
    return [
        _resource("aws_s3_bucket", "archive", [("bucket", bucket)]),
        _resource(
            "aws_s3_bucket_public_access_block", "archive", [of_bucket, *((flag, True) for flag in flags)]
        ),
        _resource(
            "aws_s3_bucket_server_side_encryption_configuration",
            "archive",
            [of_bucket, HclBlock("rule", (), [("bucket_key_enabled", bool(kms)), default])],
        ),
        _resource(
            "aws_s3_bucket_lifecycle_configuration", "archive", [of_bucket, HclBlock("rule", (), rule)]
        ),
        _resource("aws_glue_catalog_database", "archive", [("name", "sbcwatch")]),
        *(_table(table_input(config, kind), kind) for kind in config.archive.kinds),
    ]


def _resource(kind: str, name: str, body: Sequence[tuple[str, Any] | HclBlock]) -> HclBlock:
    return HclBlock("resource", (kind, name), body)


def _table(table: dict[str, Any], kind: str) -> HclBlock:
    storage = table["StorageDescriptor"]
    serde = storage["SerdeInfo"]
    body: list[tuple[str, Any] | HclBlock] = [
        ("name", table["Name"]),
        ("database_name", Raw("aws_glue_catalog_database.archive.name")),
        ("table_type", table["TableType"]),
        ("parameters", table["Parameters"]),
    ]
    body += [
        HclBlock("partition_keys", (), [("name", key["Name"]), ("type", key["Type"])])
        for key in table["PartitionKeys"]
    ]
    body.append(
        HclBlock(
            "storage_descriptor",
            (),
            [
                ("location", storage["Location"]),
                ("input_format", storage["InputFormat"]),
                ("output_format", storage["OutputFormat"]),
                HclBlock(
                    "ser_de_info",
                    (),
                    [
                        ("serialization_library", serde["SerializationLibrary"]),
                        ("parameters", serde["Parameters"]),
                    ],
                ),
                *(
                    HclBlock("columns", (), [("name", column["Name"]), ("type", column["Type"])])
                    for column in storage["Columns"]
                ),
            ],
        )
    )
    return _resource("aws_glue_catalog_table", kind, body)
