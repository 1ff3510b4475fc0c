"""What a session adds to a refusal before botocore raises it: what was asked for, and EC2's encoded message in clear.

botocore hands the parsed answer to the handlers of ``after-call`` and raises it afterwards (botocore's topic
"Events"); so an explanation needs neither the client nor a second call of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from runctl_jupyter.orchestration.aws.failures import ASKED, PERMISSION, QUOTA
from runctl_jupyter.orchestration.aws.permission import DECODED

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

_ENCODED = re.compile(r"Encoded authorization failure message: (\S+)")
_MOST_ENCODED = 10_240
"""Characters that DecodeAuthorizationMessage takes (STS API reference)."""
_REQUEST = "runctl_request"


def explain_refusals(client: Any, sts: Callable[[], STSClient], region: str) -> None:
    """Let refusals of an EC2 client say more.

    Parameters
    ----------
    sts
        Gives the client that decodes; it should ask once and not wait long.
    """

    def remember(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context[_REQUEST] = params

    def explain(parsed: Mapping[str, Any], context: Mapping[str, Any], **_: Any) -> None:
        said = parsed.get("Error")
        if said is None:
            return
        decode(said, sts)
        if said.get("Code") in QUOTA:
            said[ASKED] = _asked(context.get(_REQUEST, {}), region)

    client.meta.events.register("before-parameter-build.ec2", remember)
    client.meta.events.register("after-call.ec2", explain)


def decode(said: dict[str, Any], sts: Callable[[], STSClient]) -> None:
    """Let a denial say in clear what it is about; `said` is the ``Error`` of an answer."""
    if said.get("Code") in PERMISSION and (encoded := _ENCODED.search(said.get("Message", ""))):
        said[DECODED] = _decoded(sts, encoded[1])


def _decoded(sts: Callable[[], STSClient], encoded: str) -> Mapping[str, Any]:
    """Return what STS makes of the message; nothing when it may not be asked: the refusal itself is what is told."""
    from botocore.exceptions import BotoCoreError, ClientError

    if len(encoded) > _MOST_ENCODED:
        return {}
    try:
        answer = sts().decode_authorization_message(EncodedMessage=encoded)
        found = json.loads(answer["DecodedMessage"])
    except (BotoCoreError, ClientError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _asked(request: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    instance_type = request.get("InstanceType")
    if instance_type is None:
        return {}
    spot = request.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    return {"instance_type": instance_type, "region": region, "spot": spot}
