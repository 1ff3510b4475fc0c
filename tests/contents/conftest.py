"""Examples of these tests take long when other things run on the same cores."""

from hypothesis import settings

settings.register_profile("contents", deadline=None)
settings.load_profile("contents")
