"""Words that stand in records, and that several rooms compare."""

from __future__ import annotations

UNASSIGNED = "unassigned"  # the connector of legs that fit none; never sent to AWS
UNSIGNALLED = "unsignalled"  # a flag of media without SIP, and the outcome of its call
