"""A real SBC in network namespaces, real calls through it, and the exact truth about each of them.

from tests.lab import Lab, why_not

if not why_not():
    with Lab() as lab:
        watcher = lab.start_in_sbc(["sbcwatch", "run", "--interface", "cust0"], log)
        truths = lab.run_all(["answered-outbound", "busy-inbound"])
        with lab.inside_sbc():
            ...  # connections made here come from the sbc's own 127.0.0.1
        watcher.stop()
"""

from .lab import Lab, versions, why_not
from .network import Delay
from .processes import LabError, Process
from .scenarios import SCENARIOS, Scenario
from .truth import total

__all__ = ["SCENARIOS", "Delay", "Lab", "LabError", "Process", "Scenario", "total", "versions", "why_not"]
