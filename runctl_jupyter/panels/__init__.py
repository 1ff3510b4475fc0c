"""What panels ask, do and follow: answers for the views, whichever door carries them.

Knows the engine; knows neither the web nor widgets.
"""

from runctl_jupyter.panels.feed import Feed
from runctl_jupyter.panels.panels import Panels

__all__ = ["Feed", "Panels"]
