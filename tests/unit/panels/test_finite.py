"""What JSON has no words for does not travel."""

from __future__ import annotations

import json
import math
from typing import Any

from runctl_jupyter.panels.finite import finite


def test_no_number_is_null_and_no_metric() -> None:
    told: dict[str, Any] = {
        "metrics": {"loss": math.nan, "accuracy": 0.5},
        "series": [{"values": [1.0, math.inf, -math.inf, math.nan]}],
        "checkpoints": [{"metrics": {"loss": math.inf}}],
        "facts": [("a", "b")],
        "n": 3,
        "none": None,
    }
    found = finite(told)
    assert found == {
        "metrics": {"accuracy": 0.5},
        "series": [{"values": [1.0, None, None, None]}],
        "checkpoints": [{"metrics": {}}],
        "facts": [["a", "b"]],
        "n": 3,
        "none": None,
    }
    json.dumps(found, allow_nan=False)
