"""What each AWS error means for the batch that met it. Decided by code, never by HTTP status: throttling
comes as 400 as well as 429, and a 400 may be a clock or a credential.

| rule        | the batch                                        | taken?  | waits for              |
| ----------- | ------------------------------------------------ | ------- | ---------------------- |
| BISECT      | halved down to the bad item, which is quarantined| no      | nothing                |
| TAKEN       | done                                             | yes     | nothing                |
| MISSING     | kept whole; its group and stream are created     | no      | creation               |
| THROTTLED   | kept whole                                       | no      | the account's quota    |
| CREDENTIALS | kept whole                                       | no      | the operator           |
| CLOCK       | kept whole                                       | no      | the host's clock       |
| SETTINGS    | kept whole                                       | no      | the operator           |
| UNREACHED   | kept whole; the request never left               | no      | the network            |
| UNKNOWN     | kept whole, next time counted `maybe_duplicate`  | perhaps | AWS or the network     |

Anything not named here is UNKNOWN: nothing is thrown away, and no duplicate goes uncounted.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ErrorRule(enum.Enum):
    BISECT = "bisect"
    TAKEN = "taken"
    MISSING = "missing"
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    SETTINGS = "settings"
    UNREACHED = "unreached"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds; the n-th wait is drawn from [0, min(cap, base * 2**n)]: full jitter."""

    base_s: float
    cap_s: float

    def wait_s(self, attempt: int, draw: float) -> float:
        """`attempt` from 0; `draw` from [0, 1)."""
        return draw * min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32))


BACKOFF = {
    ErrorRule.THROTTLED: Backoff(1, 60),
    ErrorRule.UNKNOWN: Backoff(1, 60),
    ErrorRule.UNREACHED: Backoff(1, 60),
    ErrorRule.MISSING: Backoff(1, 60),
    # These wait for somebody to act: asking every second would only fill that somebody's audit log.
    ErrorRule.CREDENTIALS: Backoff(5, 300),
    ErrorRule.CLOCK: Backoff(5, 300),
    ErrorRule.SETTINGS: Backoff(5, 300),
}
# Waits of the whole sink; the others are of one target's making and hold up that target only.
WHOLE_SINK = {ErrorRule.THROTTLED, ErrorRule.UNKNOWN, ErrorRule.UNREACHED, ErrorRule.CLOCK}

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


def error_code(error: BaseException) -> str:
    """AWS's code where AWS answered, else the exception's name."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = response.get("Error", {}).get("Code")
        if code:
            return str(code)
    return type(error).__name__


def rule_of(code: str) -> ErrorRule:
    return RULES.get(code, ErrorRule.UNKNOWN)
