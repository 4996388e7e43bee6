"""`sbcwatch healthcheck`: for a container's HEALTHCHECK, or a person."""

from __future__ import annotations

import argparse
import urllib.error
import urllib.request

from agent.config.load import load

TIMEOUT_S = 3.0


def healthcheck_command(options: argparse.Namespace) -> int:
    """Ask the daemon's /healthz; 0 it is alive, 1 it is not."""
    settings = load(options.config).prometheus
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.address, settings.address)
    where = f"[{address}]" if ":" in address else address
    try:
        with urllib.request.urlopen(f"http://{where}:{settings.port}/healthz", timeout=TIMEOUT_S) as answer:
            print(answer.read().decode().strip())
            return 0
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace").strip())
    except OSError as error:
        print(f"no answer from {where} port {settings.port}: {error}")
    return 1
