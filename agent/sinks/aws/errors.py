"""The verdict on each AWS error. A known code decides, never the HTTP status: throttling comes as 400 as well
as 429, and a 400 may be a clock or a credential.

A request with an unknown code was refused where AWS answered 4xx, and may have been taken everywhere else
(5xx, a lost answer): nothing is thrown away, and no duplicate goes uncounted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.sinks.verdict import ErrorRule, Verdict

_BISECT = """
    InvalidParameterValue InvalidParameterValueException
    InvalidParameterCombination InvalidParameterCombinationException
    MissingRequiredParameter MissingRequiredParameterException MissingParameter
    ValidationError
    InvalidParameterException
    413 RequestEntityTooLarge RequestEntityTooLargeException RequestTooLarge
    ParamValidationError
"""  # MissingParameter is MissingRequiredParameter on the wire; ParamValidationError is botocore's own check
_TAKEN = "DataAlreadyAcceptedException"
_MISSING = "ResourceNotFoundException ResourceNotFound"
_THROTTLED = """
    Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException
    TooManyRequestsException RequestLimitExceeded LimitExceeded LimitExceededException SlowDown
    BandwidthLimitExceeded ProvisionedThroughputExceededException PriorRequestNotComplete 429
"""
_CREDENTIALS = """
    ExpiredToken ExpiredTokenException TokenRefreshRequired InvalidToken
    InvalidClientTokenId UnrecognizedClientException UnrecognizedClient InvalidAccessKeyId
    AccessDenied AccessDeniedException AuthFailure NotAuthorized UnauthorizedOperation OptInRequired
    MissingAuthenticationToken MissingAuthenticationTokenException IncompleteSignature
    IncompleteSignatureException
    NoCredentialsError PartialCredentialsError CredentialRetrievalError TokenRetrievalError
    UnauthorizedSSOTokenError SSOTokenLoadError RefreshWithMFAUnsupportedError
"""
_CLOCK = """
    RequestTimeTooSkewed RequestExpired RequestInTheFuture
    SignatureDoesNotMatch InvalidSignatureException InvalidSignature
"""
_SETTINGS = """
    InvalidAction UnknownOperationException UnrecognizedOperationException InvalidOperation NotSupported
    NoRegionError UnknownEndpointError EndpointProviderError InvalidEndpointDiscoveryConfigurationError
    UnknownServiceError InvalidProxiesConfigError
"""
_UNREACHED = "EndpointConnectionError ConnectTimeoutError ProxyConnectionError ConnectionRefusedError"
RULES: dict[str, ErrorRule] = {
    code: rule
    for rule, codes in (
        (ErrorRule.BISECT, _BISECT),
        (ErrorRule.TAKEN, _TAKEN),
        (ErrorRule.MISSING, _MISSING),
        (ErrorRule.THROTTLED, _THROTTLED),
        (ErrorRule.CREDENTIALS, _CREDENTIALS),
        (ErrorRule.CLOCK, _CLOCK),
        (ErrorRule.SETTINGS, _SETTINGS),
        (ErrorRule.UNREACHED, _UNREACHED),
    )
    for code in codes.split()
}


def code_in(headers: Mapping[str, str], body: bytes) -> str:
    """AWS's code in an answer that boto3 has not read, "" where there is none."""
    code: object = headers.get("x-amzn-ErrorType")
    if not code:
        try:
            said = json.loads(body)
        except ValueError:
            return ""
        code = said.get("__type") if isinstance(said, dict) else None
    # A namespace may stand before it, an address behind.
    return code.partition(":")[0].rpartition("#")[2] if isinstance(code, str) else ""


def verdict(error: BaseException) -> Verdict:
    """AWS's code where AWS answered, else the exception's name; and the rule for it."""
    response = getattr(error, "response", None)
    answered = response if isinstance(response, dict) else {}
    code = str(answered.get("Error", {}).get("Code") or "")
    if not code:
        name = type(error).__name__
        return Verdict(name, RULES.get(name, ErrorRule.UNKNOWN))
    status = answered.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    unnamed = ErrorRule.REFUSED if 400 <= status < 500 else ErrorRule.UNKNOWN
    return Verdict(code, RULES.get(code, unnamed))
