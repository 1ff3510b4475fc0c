"""``python3 -m runctl_jupyter.runner``."""

from __future__ import annotations

import sys

from runctl_jupyter.runner.command import main

sys.exit(main())
