"""System calls of the daemon: seccomp allows those that it uses (package `pyseccomp`), and no others.

Every other call fails with EPERM, as on a kernel without it; nothing is killed. The filter sees numbers and
not the memory behind pointers, so it judges a descriptor by its number: packet sockets and systemd's socket
are `SEALED` or higher, where no write is allowed, and no allowed call copies a descriptor to another number.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import socket
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from agent.capture.live.linux import SEALED
from agent.daemon.confine.report import ConfineReport
from agent.errors import how_to_add

FREE = (
    # files: Landlock says which
    "read", "readv", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "open", "openat",
    "openat2", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "fstatat64", "stat64",
    "fstat64",
    "lstat64", "statx", "statfs", "fstatfs", "statfs64", "fstatfs64", "lseek", "_llseek", "access",
    "faccessat",
    "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "mkdir", "mkdirat", "rmdir",
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat", "truncate", "ftruncate",
    "truncate64",
    "ftruncate64", "fallocate", "fsync", "fdatasync", "sync_file_range", "chmod", "fchmod", "fchmodat",
    "utimensat", "flock", "umask", "fadvise64", "fadvise64_64",
    # memory; SQLite maps its shared memory
    "mmap", "mmap2", "munmap", "mprotect", "mremap", "madvise", "mincore", "msync", "brk", "membarrier",
    # threads (clone: see below) and their signals
    "futex", "futex_time64", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "set_robust_list",
    "get_robust_list", "set_tid_address", "rseq", "arch_prctl", "sched_yield", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "gettid",
    "getpid", "getppid", "getpgrp", "getpgid", "exit", "exit_group", "restart_syscall", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "sigreturn", "rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend",
    "sigaltstack", "pause",
    # time
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep", "clock_nanosleep_time64",
    "nanosleep",
    "gettimeofday", "time", "times", "setitimer", "getitimer",
    # waiting
    "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "pipe",
    "pipe2",
    # existing sockets: that of a returned NIC is bound again, and its filter replaced
    "bind", "listen", "accept", "accept4", "shutdown", "getsockname", "getpeername", "setsockopt",
    "getsockopt",
    "recvfrom", "recvmsg", "recvmmsg",
    # the process and its host, to read
    "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getuid32", "geteuid32",
    "getgid32", "getegid32", "capget", "uname", "sysinfo", "getrusage", "getrlimit", "ugetrlimit",
    "getrandom",
    "getcpu",
)  # fmt: skip
# By their descriptor: below SEALED.
SENDING = ("write", "writev", "sendto", "sendmsg", "sendmmsg", "connect")
_CLONE_THREAD = 0x10000
_TYPE = 0xF  # of a socket, without its flags
_IOCTLS = (
    0x5401, 0x5413,  # TCGETS, TIOCGWINSZ: is it a terminal, and how wide
    0x541B, 0x5421, 0x5450, 0x5451,  # FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
    0x8910, 0x8912, 0x8913, 0x8933,  # SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFINDEX
)  # fmt: skip
_PRCTLS = (
    3,
    15,
    16,
    0x53564D41,
)  # PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: names of threads and memory
_FCNTLS = (
    fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GETLK, fcntl.F_SETLK, fcntl.F_SETLKW,
    36, 37, 38,  # F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW
)  # fmt: skip

# With a program for credentials, whose calls are unknown: these are refused, and all others allowed.
NEVER = (
    # other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "pidfd_open",
    # the kernel's own code and what hides from it
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "modify_ldt", "iopl", "ioperm", "personality", "lookup_dcookie",
    # another view of the files, or a way round their names
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
    """libseccomp's own binding (Debian: python3-seccomp), or the one on PyPI with the same interface.

    Call it while programs may run: the second finds its library by ldconfig.
    """
    for name in ("seccomp", "pyseccomp"):
        try:
            return importlib.import_module(name)
        except (ImportError, RuntimeError, OSError, AttributeError):  # no libseccomp.so, or too old a one
            continue
    return None


def fence_calls(
    seccomp: ModuleType | None,
    runs_programs: str | None,
    report: ConfineReport,
    notifier: int | None = None,
) -> None:
    """Allows the daemon's calls and refuses all others with EPERM.

    `seccomp` is `binding()`; `runs_programs` says why programs must run all the same; `notifier` is the
    descriptor of systemd's socket. Raises OSError.
    """
    if seccomp is None:
        report.left_out.append(
            f"seccomp: package pyseccomp or libseccomp is not installed ({how_to_add('pyseccomp')})"
        )
        return
    if runs_programs:
        _refuse_named(seccomp)
        report.left_out.append(f"seccomp lets programs run: {runs_programs}")
        report.done.append(f"refuses {len(NEVER)} system calls, signals to others and Unix sockets")
        return
    rules = _filter(seccomp, seccomp.ERRNO(errno.EPERM))
    for name in _known(seccomp, FREE):
        rules.add_rule(seccomp.ALLOW, name)
    for name, *arguments in _by_argument(seccomp, notifier):
        if _known(seccomp, (name,)):
            rules.add_rule(seccomp.ALLOW, name, *arguments)
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory: libc then takes clone
    rules.load()
    report.done.append("runs no program")
    report.done.append("makes no system call but its own: no signals to others, Unix sockets or frames sent")


def _by_argument(seccomp: ModuleType, notifier: int | None) -> Iterable[tuple[Any, ...]]:
    """(name, conditions): the calls that are allowed with certain arguments only."""

    def equal(name: str, at: int, values: Iterable[int]) -> Iterable[tuple[Any, ...]]:
        return ((name, seccomp.Arg(at, seccomp.EQ, value)) for value in values)

    for name in SENDING:
        yield name, seccomp.Arg(0, seccomp.LT, SEALED)
    if notifier is not None:  # only to its connected peer
        yield "sendto", seccomp.Arg(0, seccomp.EQ, notifier), seccomp.Arg(4, seccomp.EQ, 0)
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            yield (
                "socket",
                seccomp.Arg(0, seccomp.EQ, family),
                seccomp.Arg(1, seccomp.MASKED_EQ, _TYPE, kind),
            )
    yield "socket", seccomp.Arg(0, seccomp.EQ, socket.AF_NETLINK), seccomp.Arg(2, seccomp.EQ, 0)  # of routes
    yield "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD)
    yield from equal("tgkill", 0, [os.getpid()])  # abort, raise
    yield from equal("prlimit64", 0, [0])
    yield from equal("ioctl", 1, _IOCTLS)
    yield from equal("prctl", 0, _PRCTLS)
    for name in ("fcntl", "fcntl64"):
        yield from equal(name, 1, _FCNTLS)


def _refuse_named(seccomp: ModuleType) -> None:
    refuse = seccomp.ERRNO(errno.EPERM)
    rules = _filter(seccomp, seccomp.ALLOW)
    for name in _known(seccomp, NEVER):
        rules.add_rule(refuse, name)
    rules.add_rule(refuse, "tgkill", seccomp.Arg(0, seccomp.NE, os.getpid()))
    # Sockets of other programs; systemd's is open already. libc asks nscd by one, and works without it.
    rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.EQ, socket.AF_UNIX))
    rules.load()


def _filter(seccomp: ModuleType, otherwise: Any) -> Any:
    rules = seccomp.SyscallFilter(otherwise)
    # Another ABI of the same machine (i386, x32) has numbers of its own: all of them are refused.
    rules.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.ERRNO(errno.EPERM))
    return rules


def _known(seccomp: ModuleType, names: Iterable[str]) -> list[str]:
    """The names that libseccomp knows on this machine; the others are younger than it."""
    return [name for name in names if seccomp.resolve_syscall(seccomp.system_arch(), name) >= 0]
