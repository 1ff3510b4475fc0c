"""Import moto quickly: only the sandbox's region of its data, none of its default images.

moto reads the instance type offerings of two dozen regions when its EC2 module is imported, which costs half of
the start and 80 MB. The sandbox has one region.
"""

from __future__ import annotations

import os
from typing import Any

from runctl_jupyter.sandbox.control.settings import REGION

_OFFERINGS = "instance_type_offerings"


def import_moto_ec2() -> None:
    """Import moto's EC2 models with the offerings of one region. Call it before anything else imports them."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    from moto.utilities import utils

    load = utils.load_resource

    def load_region(resource: str) -> Any:
        parts = resource.replace("\\", "/").split("/")
        return [] if _OFFERINGS in parts and not parts[-1].startswith(f"{REGION}.") else load(resource)

    utils.load_resource = load_region
    try:
        import moto.ec2.models  # noqa: F401 - imported for its effect
    finally:
        utils.load_resource = load
