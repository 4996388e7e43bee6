"""Runs as root inside a booted system: calls `main(seen)` of /check.py, writes `seen` as JSON, powers off.

Plain Python of the root: no package of ours. The argument is how many seconds it may take.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback


def too_late(*_):
    raise TimeoutError


seen: dict[str, object] = {}
signal.signal(signal.SIGALRM, too_late)
signal.alarm(int(sys.argv[1]))
try:
    runpy.run_path("/check.py")["main"](seen)
except Exception:
    seen["failed"] = traceback.format_exc()
with open("/seen.json.new", "w") as file:
    json.dump(seen, file)
os.rename("/seen.json.new", "/seen.json")
subprocess.run(["systemctl", "poweroff", "--force"], check=False)
