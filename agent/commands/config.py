"""`sbcwatch config`: the commented sample file, every setting with its help and default."""

from __future__ import annotations

import argparse

from agent.config.load import shipped


def config_command(options: argparse.Namespace) -> int:
    print(shipped(), end="")
    return 0
