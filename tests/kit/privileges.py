"""What namespaces and raw sockets need of a machine."""

from __future__ import annotations

import os
import shutil


def hindrance() -> str:
    """Why this machine cannot run it; empty: it can."""
    if os.geteuid() != 0:
        return "it needs root, for namespaces"
    missing = [name for name in ("ip", "cc") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} missing"
    return ""
