"""boto3 sessions and clients of one connection, made when first used."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from runctl_jupyter.orchestration.aws.decoding import explain_refusals
from runctl_jupyter.orchestration.aws.failures import aws_errors, no_credentials
from runctl_jupyter.orchestration.connection import Connection
from runctl_jupyter.orchestration.errors import ConfigInvalid

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_pricing import PricingClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

Manner = Literal["patient", "once", "quick"]
"""How a client asks: with ordinary retries, with one attempt, or with one attempt of a few seconds."""

_QUICK_S = 3.0
_PRICING_REGION = "us-east-1"
"""The Price List API has endpoints in three regions; each knows the prices of all (AWS Billing, "Using the AWS Price
List Query API")."""
_DECODING_S = 3.0
"""Seconds to wait for a refusal in clear; without it, the refusal says less."""


class AwsSession:
    """Clients for one connection; thread-safe.

    Parameters
    ----------
    connection
        Region, profile and, where the target brings them, keys and endpoint.
    hurry_s
        Seconds that each request may take, asked once; None: as long as it needs, with botocore's retries.
    """

    def __init__(self, connection: Connection, *, hurry_s: float | None = None) -> None:
        self.connection = connection
        self._hurry_s = hurry_s
        self._lock = Lock()
        self._elsewhere: dict[str, AwsSession] = {}
        self._clients: dict[tuple[str, str, str | None], Any] = {}

    @property
    def region(self) -> str:
        """The region in force.

        Raises
        ------
        ConfigInvalid
            None is set anywhere.
        """
        region = self.connection.region or self._session.region_name
        if region is None:
            raise ConfigInvalid(
                "No AWS region is set.", "Choose one: runctl use aws --region us-east-1 (or AWS_REGION)."
            )
        return region

    @cached_property
    def _session(self) -> boto3.Session:
        import boto3

        env = self.connection.env
        with aws_errors("open a session"):
            if env:
                return boto3.Session(
                    aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
                    region_name=self.connection.region,
                )
            session = boto3.Session(profile_name=self.connection.profile, region_name=self.connection.region)
            if session.get_credentials() is None:
                # Said first and by itself: without them nothing else that could be wrong matters yet.
                raise no_credentials()
            return session

    def in_a_hurry(self, seconds: float) -> AwsSession:
        """Return a session with the same credentials that asks once and waits `seconds` at most."""
        if self._hurry_s is not None and self._hurry_s <= seconds:
            return self
        hasty = AwsSession(self.connection, hurry_s=seconds)
        hasty.__dict__["_session"] = self._session
        hasty._lock = self._lock  # as in `at`
        return hasty

    def at(self, region: str) -> AwsSession:
        """Return a session with the same credentials in another region."""
        if region == self.region:
            return self
        with self._lock:
            found = self._elsewhere.get(region)
            if found is None:
                connection = replace(self.connection, region=region)
                found = self._elsewhere[region] = AwsSession(connection, hurry_s=self._hurry_s)
                found.__dict__["_session"] = self._session
                # A session of boto3 makes one client at a time (boto3 guide, "Multithreading with sessions").
                found._lock = self._lock
        return found

    @property
    def ec2(self) -> EC2Client:
        """EC2 with ordinary retries."""
        client: EC2Client = self._client("ec2")
        return client

    @property
    def launcher(self) -> EC2Client:
        """EC2 with one attempt: capacity errors are HTTP 500, which botocore would silently retry."""
        client: EC2Client = self._client("ec2", "once")
        return client

    @property
    def quick_ec2(self) -> EC2Client:
        """EC2 with one short attempt: for what is good to know and can be done without."""
        client: EC2Client = self._client("ec2", "quick")
        return client

    @property
    def pricing(self) -> PricingClient:
        """The Price List API, with one short attempt."""
        client: PricingClient = self._client("pricing", "quick")
        return client

    @property
    def ssm(self) -> SSMClient:
        """Systems Manager."""
        client: SSMClient = self._client("ssm")
        return client

    @property
    def sts(self) -> STSClient:
        """Security Token Service."""
        client: STSClient = self._client("sts")
        return client

    def decoder(self) -> STSClient:
        """Return what decodes a refusal: it asks once, and not for long."""
        return self.in_a_hurry(_DECODING_S).sts

    @property
    def iam(self) -> IAMClient:
        """Identity and Access Management."""
        client: IAMClient = self._client("iam")
        return client

    @property
    def scheduler(self) -> EventBridgeSchedulerClient:
        """EventBridge Scheduler."""
        client: EventBridgeSchedulerClient = self._client("scheduler")
        return client

    @property
    def service_quotas(self) -> ServiceQuotasClient:
        """Service Quotas."""
        client: ServiceQuotasClient = self._client("service-quotas")
        return client

    @property
    def s3(self) -> S3Client:
        """S3, for what the object-store library does not have."""
        client: S3Client = self._client("s3")
        return client

    def s3_at(self, endpoint: str) -> S3Client:
        """Return a client of another S3."""
        client: S3Client = self._client("s3", endpoint=endpoint)
        return client

    def s3_endpoint(self) -> str | None:
        """Return the endpoint URL of S3 when it is not AWS's own."""
        env = self.connection.env
        return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or (None if env else self._chosen_s3)

    @cached_property
    def _chosen_s3(self) -> str | None:
        """The S3 that the person's environment or profile names, as boto3 reads it.

        AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
        """
        if not self._endpoint_is_chosen:
            return None  # making a client to know this would take a tenth of a second
        url: str = self._session.client("s3", region_name=self.region).meta.endpoint_url
        return None if (urlsplit(url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")) else url

    @cached_property
    def _endpoint_is_chosen(self) -> bool:
        """Whether the person's environment or profile names the endpoint of any service."""
        import botocore.session

        said = botocore.session.Session(profile=self.connection.profile).get_scoped_config()
        return bool({"endpoint_url", "services"} & said.keys()) or any(
            n.startswith("AWS_ENDPOINT_URL") for n in os.environ
        )

    def check(self) -> None:
        """Make sure that there are credentials, without a request to AWS.

        Raises
        ------
        CredentialsMissing
            boto3's chain ends without any.
        """
        _ = self._session

    @property
    def boto3_session(self) -> boto3.Session:
        """The session, for what refreshes credentials by boto3's chain."""
        return self._session

    def presigned_get(self, bucket: str, key: str, seconds: int) -> str:
        """Return a URL that reads one object without credentials for `seconds`."""
        with aws_errors("sign a URL"):
            url: str = self._client("s3").generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
            return url

    @cached_property
    def is_aws(self) -> bool:
        """Whether nobody has named another endpoint than AWS's own."""
        return not (self.connection.env or self._endpoint_is_chosen)

    def _client(self, service: str, manner: Manner = "patient", *, endpoint: str | None = None) -> Any:
        wanted = (service, manner, endpoint)
        with self._lock:
            found = self._clients.get(wanted)
            if found is None:
                config = self._config(service, manner, path_style=endpoint is not None)
                found = self._clients[wanted] = self._new_client(service, config, endpoint)
        return found

    def _new_client(self, service: str, config: Config, endpoint: str | None) -> Any:
        if endpoint is None:
            endpoint = self.s3_endpoint() if service == "s3" else self.connection.env.get("AWS_ENDPOINT_URL")
        region = _PRICING_REGION if service == "pricing" and endpoint is None else self.region
        with aws_errors(f"reach {service}"):
            client = self._session.client(  # type: ignore[call-overload]
                service, region_name=region, endpoint_url=endpoint, config=config
            )
        if service == "ec2":
            explain_refusals(client, self.decoder, region)
        return client

    def _config(self, service: str, manner: Manner, *, path_style: bool) -> Config:
        from botocore.config import Config

        wait = self._hurry_s or (_QUICK_S if manner == "quick" else None)
        return Config(
            retries={"total_max_attempts": 8, "mode": "standard"}
            if manner == "patient" and wait is None
            else {"total_max_attempts": 1},
            connect_timeout=wait or 10,
            read_timeout=wait or 60,
            signature_version="s3v4" if service == "s3" else None,
            s3={"addressing_style": "path"} if path_style or self.s3_endpoint() else None,
            user_agent_extra="runctl-jupyter",
        )
