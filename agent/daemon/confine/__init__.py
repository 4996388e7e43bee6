"""Locked in from inside: once sockets and files are open the process gives up what it no longer needs.

    dumpable        no core file and no ptrace by the same user (prctl PR_SET_DUMPABLE)
    capabilities    all go, for good: the packet sockets are open, and bound anew without any
    no_new_privs    nothing that is executed gains a privilege
    Landlock        writes the state directory only; reads what `landlock.readable` lists; TCP to
    `landlock.ports` only;
                    no signal to and no abstract Unix socket of others
    seccomp         makes the system calls that the daemon uses and no others (package `pyseccomp`)

All of them are a thread's, and of those that it starts: to be called before there are others. Where something
cannot be had, or would break what is configured, that part is left out and the report says why.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from agent.daemon.confine.capabilities import drop_capabilities, no_core_dump, no_new_privileges
from agent.daemon.confine.landlock import fence_files, runs_programs
from agent.daemon.confine.report import ConfineReport
from agent.daemon.confine.seccomp import binding, fence_calls

__all__ = ["Report", "confine"]


def confine(
    state: Path,
    config: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    secrets: Sequence[Path] = (),
    archive: Path | None = None,
    urls: Iterable[str] = (),
    notifier: int | None = None,
) -> ConfineReport:
    """Confines this thread and every thread that it starts. Raises nothing.

    `secrets`: more files to read; `archive`: one more folder to write, made where it is missing. `urls`: the
    addresses of the configured sinks; `notifier`: the descriptor of systemd's socket.
    """
    report = ConfineReport()
    if sys.platform != "linux":
        report.left_out.append(f"{sys.platform} has neither capabilities nor Landlock nor seccomp")
        return report
    others = len(os.listdir("/proc/self/task")) - 1
    if others:
        report.left_out.append(f"{others} threads that run already keep what they have")
    seccomp = binding()  # while programs may run
    parts: tuple[Callable[[], None], ...] = (
        lambda: no_core_dump(report),
        lambda: drop_capabilities(state, config, report, secrets),
        lambda: no_new_privileges(report),
        lambda: fence_files(state, config, environment, report, secrets, archive, urls),
        lambda: fence_calls(
            seccomp, runs_programs(environment), report, notifier
        ),  # last: the other parts need system calls
    )
    for part in parts:
        try:
            part()
        except Exception as error:  # a daemon that watches unconfined is better than none
            report.left_out.append(f"{type(error).__name__}: {error}")
    return report
