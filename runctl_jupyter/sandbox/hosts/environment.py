"""What a machine's programs find in their environment, and nothing of the user's own.

The names passed through are settings of the *machine* the sandbox runs on (certificates, proxy, package index):
without them no package could be installed, and none of them says who the user is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TAG = "SBX_ID"
"""Variable that marks every process of a machine; plain mode finds strays by it."""

_PASSED_THROUGH = re.compile(
    r"""SSL_CERT_(FILE|DIR) | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE
      | PIP_\w+
      | UV_(INDEX\w* | DEFAULT_INDEX | EXTRA_INDEX_URL | FIND_LINKS | NO_INDEX | OFFLINE | NATIVE_TLS | SYSTEM_CERTS
           | INSECURE_HOST | HTTP_TIMEOUT | CONFIG_FILE | CONSTRAINT | KEYRING_PROVIDER)""",
    re.VERBOSE,
)
_PROXY = re.compile(r"(https?|all|no)_proxy", re.IGNORECASE)


def machine_settings(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Certificate and package-index settings of the surrounding machine."""
    source = os.environ if source is None else source
    return {name: value for name, value in source.items() if _PASSED_THROUGH.fullmatch(name)}


def proxy_settings(*direct: str, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """Proxy settings of the surrounding machine, with the addresses `direct` never proxied; empty without a proxy."""
    source = os.environ if source is None else source
    found = {name: value for name, value in source.items() if _PROXY.fullmatch(name) and value}
    if not any(name.lower() != "no_proxy" for name in found):
        return {}
    known = found.get("NO_PROXY") or found.get("no_proxy") or ""
    exceptions = ",".join([*filter(None, known.split(",")), *direct])
    return found | {"NO_PROXY": exceptions, "no_proxy": exceptions}


def endpoint_settings(endpoint_urls: Mapping[str, str]) -> dict[str, str]:
    """Endpoint variables of the AWS SDKs and Tools Reference Guide, page "Service-specific endpoints"."""
    settings = {"AWS_ENDPOINT_URL": endpoint_urls["default"]}
    if endpoint_urls.get("s3", endpoint_urls["default"]) != endpoint_urls["default"]:
        settings["AWS_ENDPOINT_URL_S3"] = endpoint_urls["s3"]
    return settings


def aws_config(region: str, endpoint_urls: Mapping[str, str]) -> str:
    """Text of the machine's AWS config file: region and where the emulated services are."""
    lines = ["[default]", f"region = {region}", f"endpoint_url = {endpoint_urls['default']}"]
    if "AWS_ENDPOINT_URL_S3" in endpoint_settings(endpoint_urls):
        lines += ["services = sandbox", "", "[services sandbox]", "s3 =", f"  endpoint_url = {endpoint_urls['s3']}"]
    return "\n".join(lines) + "\n"


def search_path(*first: Path) -> str:
    """PATH of a machine: `first`, then the folder of the sandbox's own interpreter (python3, uv), then the system's."""
    return ":".join([*map(str, first), str(Path(sys.executable).parent), SYSTEM_PATH])
