"""sbcwatch: what a managed Voice Connector publishes about its calls, for any SBC."""

import os

__version__ = "0.1.0"

if os.environ.get("SBCWATCH_NO_COMPILED") == "1":
    from agent.uncompiled import force_source

    force_source()
