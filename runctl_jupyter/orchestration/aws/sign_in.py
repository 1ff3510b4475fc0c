"""Credentials that are missing, over, or wrong, and how each is put right.

Codes: the services' lists of common errors; exceptions: botocore's for its chain of providers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runctl_jupyter.orchestration.errors import ConfigInvalid, CredentialsMissing, RunctlError

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})

SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
"""The time in the signature is too old: of an old session, or of a clock that is wrong."""

UNKNOWN_KEY = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

_SSO = frozenset({"SSOError", "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"})
_LOGIN = frozenset({"LoginAuthorizationCodeError", "LoginError", "LoginRefreshRequired", "LoginTokenLoadError"})
_SETTINGS = frozenset(
    {"ConfigParseError", "InfiniteLoopConfigError", "InvalidConfigError", "InvalidRegionError", "UnknownEndpointError"}
)
_WRONG_CLOCK = "compare the clock of this computer with the right time (date -u)"


def no_credentials() -> CredentialsMissing:
    """Return the error for a chain that ends without credentials."""
    return CredentialsMissing(
        "There are no AWS credentials for target aws.",
        "Sign in (aws configure, aws sso login) or practise without an account: runctl use sandbox",
    )


def refused_credentials(code: str, message: str) -> RunctlError | None:
    """Return our error for a code of AWS that is about credentials; None for any other."""
    if code in EXPIRED:
        return CredentialsMissing(
            f"The AWS credentials have expired [{code}].", "Sign in again (aws sso login, or renew the keys) and retry."
        )
    if code in SKEWED or (code in UNKNOWN_KEY and "expired" in message.lower()):
        return CredentialsMissing(
            f"AWS finds the request too old [{code}]: the credentials have expired, or this computer's clock is wrong.",
            f"Sign in again (aws sso login, or renew the keys), and {_WRONG_CLOCK}.",
        )
    if code == "AuthFailure":
        return CredentialsMissing(
            "AWS does not accept the credentials in this region [AuthFailure].",
            "Check the keys (aws sts get-caller-identity), and that the region is enabled: aws account list-regions",
        )
    if code in UNKNOWN_KEY:
        return CredentialsMissing(
            f"AWS does not accept the credentials [{code}].",
            "Check AWS_PROFILE or the keys: aws sts get-caller-identity",
        )
    return None


def no_sign_in(error: BotoCoreError) -> RunctlError | None:
    """Return our error for an exception of botocore's own about credentials or settings; None for any other."""
    name, said = type(error).__name__, str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else ""
    if name == "NoCredentialsError":
        return no_credentials()
    if name == "PartialCredentialsError":
        return CredentialsMissing(f"The AWS credentials are not complete: {said}.", "Set the missing one as well.")
    if name in ("CredentialRetrievalError", "MetadataRetrievalError"):
        return CredentialsMissing(
            f"The AWS credentials could not be fetched: {said}.", "Run what provides them by hand and see what it says."
        )
    if name in _SSO:
        return CredentialsMissing("The AWS sign-in has expired.", "Sign in again: aws sso login")
    if name in _LOGIN:
        return CredentialsMissing("The AWS sign-in has expired.", "Sign in again: aws login")
    if name == "LoginInsufficientPermissions":
        return CredentialsMissing(f"{said}.", "Let an administrator attach the policy SignInLocalDevelopmentAccess.")
    if name == "ProfileNotFound":
        return ConfigInvalid(f"{said}.", "See the profiles you have: aws configure list-profiles")
    if name == "NoRegionError":
        return ConfigInvalid("No AWS region is set.", "Choose one: runctl use aws --region us-east-1 (or AWS_REGION).")
    if name in _SETTINGS:
        return ConfigInvalid(f"The AWS settings are wrong: {said}.", "Mend ~/.aws/config, or what names the region.")
    return None
