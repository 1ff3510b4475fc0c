"""``python -m runctl_jupyter`` is ``runctl``."""

import sys

from runctl_jupyter.cli import main

if __name__ == "__main__":
    sys.exit(main())
