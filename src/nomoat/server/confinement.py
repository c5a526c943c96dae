"""Confinement: what a process of the gateway's own gives up before it looks at what nobody vouches for.

Rules: an allow-list of system calls (seccomp, through libseccomp), so that what is left is computing, memory, and
reading and writing what is open already. No file can be opened, no connection made, no program run, no other process
looked at or signalled, and no memory made executable, whatever the code that runs there is made to do. It holds for
the process and can never be taken back. Where libseccomp or the kernel cannot do it, nothing is confined by half:
`Unavailable`.
"""

import ctypes
import errno
import mmap
import os
import resource
from collections.abc import Callable, Collection
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

from nomoat.core.errors import Unavailable

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_SIGKILL: Final = 9
_AT_EMPTY_PATH: Final = 0x1000
_CLONE_THREAD: Final = 0x10000
_FREELY: Final = (
    # what is open
    "read", "write", "readv", "writev", "pread64", "lseek", "close", "fstat", "poll", "ppoll", "select", "pselect6",
    # memory and waiting
    "brk", "munmap", "mremap", "madvise", "futex", "rseq", "set_robust_list", "membarrier", "sched_yield",
    "nanosleep", "clock_nanosleep",
    # signals to itself
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
    # what it may know
    "clock_gettime", "clock_getres", "gettimeofday", "time", "getrandom", "getpid", "gettid", "getuid", "geteuid",
    "getgid", "getegid", "getrusage", "times", "sysinfo", "uname", "getrlimit", "sched_getaffinity", "getcpu",
    # its end
    "exit", "exit_group",
)  # fmt: skip


class Confinement:
    """A filter, made once where files can still be opened; `enter` gives up the rest in the process that calls it.

    `besides` are system calls that it may make besides the usual ones. With `threads`, it may start threads of its
    own, and still no process. Raises `Unavailable` when this machine has no libseccomp.
    """

    def __init__(self, *besides: str, threads: bool = False) -> None:
        try:
            # Imported here: it looks for libseccomp at import, and the gateway runs without it, unable to scan.
            pyseccomp = import_module("pyseccomp")
        except (RuntimeError, ImportError, OSError):
            raise Unavailable("confinement", "libseccomp is missing; install it (Debian: libseccomp2)") from None
        self._filter = _filter(pyseccomp, [*_FREELY, *besides], threads=threads)

    def enter(self, *, keep: Collection[int], memory: int, cpu_s: int) -> None:
        """Keep the descriptors `keep`, `memory` bytes more than there are, `cpu_s` seconds of CPU, and nothing else.

        Raises `Unavailable` when the kernel refuses; the process must end then.
        """
        try:
            _close_all_but(keep)
            _limit(memory, cpu_s, most_descriptors=max(keep) + 1)
            _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
            _prctl(_PR_SET_DUMPABLE, 0)  # no core, and nobody of the same user looks inside
            self._filter()
        except (OSError, ValueError) as error:
            raise Unavailable("confinement", f"this process cannot be confined: {error}") from None


def _filter(seccomp: Any, freely: Collection[str], *, threads: bool) -> Callable[[], None]:
    """The filter's load, every rule in place. A call that is not listed fails with EPERM."""
    made = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for call in freely:
        made.add_rule(seccomp.ALLOW, call)
    for call, position in (("mmap", 2), ("mprotect", 2)):
        made.add_rule(seccomp.ALLOW, call, seccomp.Arg(position, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
    # glibc's fstat is newfstatat of a descriptor with an empty path.
    made.add_rule(seccomp.ALLOW, "newfstatat", seccomp.Arg(3, seccomp.EQ, _AT_EMPTY_PATH))
    made.add_rule(seccomp.ALLOW, "prlimit64", seccomp.Arg(2, seccomp.EQ, 0))  # asking, not setting
    if threads:
        made.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
        # Its flags lie in memory, where no filter looks; told that there is no such call, glibc takes `clone`.
        made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    load: Callable[[], None] = made.load
    return load


def _close_all_but(keep: Collection[int]) -> None:
    edges = [-1, *sorted(keep), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]
    for below, above in pairwise(edges):
        if below + 1 < above:  # an empty range would close everything (CPython 3.11)
            os.closerange(below + 1, above)


def _limit(memory: int, cpu_s: int, *, most_descriptors: int) -> None:
    with open("/proc/self/statm", encoding="ascii") as sizes:  # noqa: PTH123 - closed before descriptors are limited
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_descriptors, most_descriptors))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
