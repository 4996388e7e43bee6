"""sbcwatch: what a managed Voice Connector publishes about its calls, for any SBC."""

import os

__version__ = "0.1.0"

from agent.uncompiled import force_source, stand_in_for_cython

stand_in_for_cython()
if os.environ.get("SBCWATCH_NO_COMPILED") == "1":
    force_source()
