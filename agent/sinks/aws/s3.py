"""An S3 bucket, or any store that speaks S3, as the archive's shelf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.sinks.aws.errors import verdict
from agent.sinks.verdict import ErrorRule, Verdict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3's own codes. 409: another write of the same name is under way, so ours was not taken.
_RULES = {
    "PreconditionFailed": ErrorRule.TAKEN,
    "412": ErrorRule.TAKEN,
    "ConditionalRequestConflict": ErrorRule.THROTTLED,
    "OperationAborted": ErrorRule.THROTTLED,
    "NoSuchBucket": ErrorRule.SETTINGS,
    "PermanentRedirect": ErrorRule.SETTINGS,
    "AuthorizationHeaderMalformed": ErrorRule.SETTINGS,
    "KMS.DisabledException": ErrorRule.SETTINGS,
    "KMS.NotFoundException": ErrorRule.SETTINGS,
    "RequestTimeout": ErrorRule.UNKNOWN,  # 400: part of it may have arrived
}


class Bucket:
    """`kms_key`: its id or ARN; "": the bucket's own encryption. Raises what boto3 raises."""

    def __init__(self, client: S3Client, bucket: str, *, kms_key: str = "") -> None:
        self._s3 = client
        self._bucket = bucket
        self._kms: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key, "BucketKeyEnabled": True}
            if kms_key
            else {}
        )

    def put(self, name: str, body: bytes) -> None:
        """One PutObject, refused with 412 where an object of that name is."""
        self._s3.put_object(
            Bucket=self._bucket,
            Key=name,
            Body=body,
            IfNoneMatch="*",
            ContentType="application/gzip",
            **self._kms,
        )

    def verdict(self, error: BaseException) -> Verdict:
        """S3's own codes, else AWS's."""
        found = verdict(error)
        return Verdict(found.code, _RULES.get(found.code, found.rule))
