"""`python -m tests.lab.b2bua CUSTOMER_SIDE_ADDRESS REMOTE_SIDE_ADDRESS`, until it is ended."""

from __future__ import annotations

import asyncio
import sys

from .calls import Calls


async def main(customer: str, remote: str) -> None:
    await Calls({"customer": customer, "remote": remote}).switch.open()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
