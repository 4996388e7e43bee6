"""System calls that a daemon which watches never needs: refused by seccomp (package `pyseccomp`).

What is not named here stays allowed: a list of all that libc, Python and SQLite may call would age with them.
"""

from __future__ import annotations

import errno
import importlib
import os
import socket
from types import ModuleType

from agent.daemon.confine.report import ConfineReport

PROGRAMS = ("execve", "execveat")
NEVER = (
    # other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "pidfd_open",
    # the kernel's own code and what hides from it
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "modify_ldt", "iopl", "ioperm", "personality", "lookup_dcookie",
    # another view of the files, or a way past their names
    "mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsconfig",
    "fsmount", "fspick", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at", "quotactl",
    "quotactl_fd", "swapon", "swapoff", "acct",
    # keys
    "add_key", "request_key", "keyctl",
    # the host
    "reboot", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "syslog", "vhangup",
)  # fmt: skip


def binding() -> ModuleType | None:
    """libseccomp's own binding (Debian: python3-seccomp), or the one on PyPI with the same words.

    To be called while programs may run: the second finds its library by ldconfig.
    """
    for name in ("seccomp", "pyseccomp"):
        try:
            return importlib.import_module(name)
        except (ImportError, RuntimeError, OSError, AttributeError):  # no libseccomp.so, or too old a one
            continue
    return None


def fence_calls(seccomp: ModuleType | None, runs_programs: str | None, report: ConfineReport) -> None:
    """Refuse the calls with EPERM, as a kernel or a container without them does.

    `seccomp` is `binding()`; `runs_programs` says why programs have to be run all the same. Raises OSError.
    """
    if seccomp is None:
        report.left_out.append(
            "seccomp: package pyseccomp or libseccomp is not installed (pip install 'sbcwatch[confine]')"
        )
        return
    refuse = seccomp.ERRNO(errno.EPERM)
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    # Another ABI of the same machine (i386, x32) has numbers of its own: all of them are refused.
    rules.set_attr(seccomp.Attr.ACT_BADARCH, refuse)
    here = seccomp.system_arch()
    numbers = [seccomp.resolve_syscall(here, name) for name in (*NEVER, *(() if runs_programs else PROGRAMS))]
    known = [
        number for number in numbers if number >= 0
    ]  # others: younger than libseccomp, or not of this machine
    for number in known:
        rules.add_rule(refuse, number)
    # A signal to a thread of ours (abort, raise), and to nobody else's.
    rules.add_rule(refuse, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    # Sockets of other programs; systemd's is open already. libc asks nscd by one, and does without.
    rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.EQ, socket.AF_UNIX))
    rules.load()
    if runs_programs:
        report.left_out.append(f"seccomp lets programs run: {runs_programs}")
    else:
        report.done.append("runs no program")
    report.done.append(f"refuses {len(known)} system calls, signals to others and Unix sockets")
