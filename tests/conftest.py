"""Hypothesis tries the same examples in each run: a failure is a change's. `EXPLORE=1` tries others."""

import os

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, database=None)
if not os.environ.get("EXPLORE"):
    settings.load_profile("fixed")
