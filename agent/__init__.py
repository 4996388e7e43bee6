"""sbcwatch: what a managed Voice Connector publishes about its calls, for any SBC."""

__version__ = "0.1.0"
