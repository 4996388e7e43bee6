"""Child processes of the lab: started in a namespace, logged to a file, ended by pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab itself went wrong: whatever it counted is no truth."""


def search_path() -> str:
    """Where programs are: kamailio, nft and ethtool are in sbin, which not every root's PATH has."""
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": search_path()}


def run(*command: str, stdin: str | None = None) -> str:
    """Run a short command to its end and return its stdout.

    Raises:
        LabError: it could not start or its status was not 0; the message holds its stderr.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, env=_environment()
        )
    except OSError as error:
        raise LabError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise LabError(f"{' '.join(command)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float, poll_s: float = 0.05) -> None:
    """Poll until `condition` holds.

    Raises:
        LabError: it did not within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {timeout_s:g} s for {what}")
        time.sleep(poll_s)


class Process:
    """One long-running program in a network namespace; stdout and stderr go to `log`."""

    def __init__(
        self,
        namespace: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        uid: int | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._written = log.open("wb")
        # setpriv: the program goes down with us even when we are killed outright.
        identity = [] if uid is None else ["setpriv", "--reuid", str(uid), "--clear-groups"]
        # A second setpriv: the kernel forgets the death signal when the user changes.
        inside = ["ip", "netns", "exec", namespace, *identity, "setpriv", "--pdeathsig", "TERM", *command]
        self._child = subprocess.Popen(
            inside,
            stdin=subprocess.DEVNULL,
            stdout=self._written,
            stderr=subprocess.STDOUT,
            env={**_environment(), **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def text(self) -> str:
        """What the program has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def ended(self) -> bool:
        return self._child.poll() is not None

    def wait(self, timeout_s: float) -> int:
        """The exit status.

        Raises:
            LabError: the program is still running after `timeout_s`.
        """
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.command[0]} still runs after {timeout_s:g} s, see {self.log}") from error

    def kill(self) -> None:
        """End at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()
        self._written.close()

    def stop(self, timeout_s: float = 3.0) -> int:
        """Ask to end, insist after `timeout_s`, and return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._written.close()
        return self._child.returncode


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def end_all(pids: Iterable[int], grace_s: float = 1.0) -> None:
    """End processes that nobody holds as `Process` any more."""
    remaining = list(pids)
    for each in (signal.SIGTERM, signal.SIGKILL):
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, each)
        end = time.monotonic() + grace_s
        while remaining and time.monotonic() < end:
            remaining = [pid for pid in remaining if alive(pid)]
            time.sleep(0.02)
