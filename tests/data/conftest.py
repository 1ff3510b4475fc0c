"""Examples of these tests take long when other things run on the same cores."""

from hypothesis import settings

settings.register_profile("data", deadline=None)
settings.load_profile("data")
