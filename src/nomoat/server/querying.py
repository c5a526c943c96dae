"""Having views made and queried: two processes that have nothing else, asked one after the other.

Rules: one child makes a view of the files and ends; another gets what came out, as memory that nobody can change, and
the SQL. What they say is a claim, parsed as strictly as a stranger's. Whatever is over a limit is ended. Made views
are kept for a while, in memory alone, for whoever may query the same view of the same version next.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, TypeAlias, final
from weakref import WeakValueDictionary

from nomoat.core import claims
from nomoat.core.errors import TooLarge, Unanswered, Unavailable
from nomoat.core.view import View
from nomoat.resources.repositories.views import Answer, Question
from nomoat.server.query_child import Child, forked
from nomoat.server.zygote import Zygote
from nomoat.views.said import Ending, described

LONGEST_SAID: Final = 500
ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Of the process: less memory set aside than its limit would allow for, no threads before there is a child."""

_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_log = logging.getLogger("nomoat")

Key: TypeAlias = tuple[str, str, View]


class QueryProcess(Zygote):
    """The process whose children make views and run queries. One serves as many gateways as there are."""

    def __init__(self) -> None:
        super().__init__("nomoat.server.query_process", ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Limits:
    """What views and queries may take: seconds, bytes, rows, how many at once."""

    query_s: float = 60.0
    query_memory: int = 2 << 30
    rows: int = 1_000_000
    answer: int = 64 << 20
    view_s: float = 300.0
    view_memory: int = 6 << 30
    files: int = 1 << 30
    view: int = 1 << 30
    kept: int = 1 << 30
    kept_s: float = 600.0
    at_once: int = 2
    waiting: int = 16
    each: int = 4  # of them, of one person or workload
    threads: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))


@dataclass(slots=True)
class _Made:
    """A made view: sealed memory, its bytes and when it was last used."""

    memory: int
    size: int
    used: float


@final
class Queries:
    """Answers queries over views (`nomoat.resources.repositories.views.Engine`), a few at a time."""

    def __init__(self, process: Zygote, limits: Limits | None = None) -> None:
        self._process = process
        self._limits = limits or Limits()
        self._room = asyncio.Semaphore(self._limits.at_once)
        self._open = Counter[str]()  # by who asked
        self._made: dict[Key, _Made] = {}
        self._making = WeakValueDictionary[Key, asyncio.Lock]()  # while somebody makes or awaits that view

    @asynccontextmanager
    async def answer(self, question: Question) -> AsyncGenerator[Answer]:
        """Run a query; its answer is complete on entering, and received from the process as it is sent on."""
        if find_spec("pyarrow") is None:
            raise Unavailable("queries", "pyarrow is missing at the gateway; install nomoat[query] there")
        if self._open[question.subject] >= self._limits.each:
            raise Unavailable("queries", f"{self._limits.each} of yours at once is the most; wait for one of them")
        if self._open.total() >= self._limits.waiting:
            raise Unavailable("queries", "too many of them at once; try again")
        self._open[question.subject] += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with self._room:
                    child, said = await self._asked(stack, question)
                rows, size = _counted(said, self._limits.rows, self._limits.answer)
                yield Answer(rows, size, child.parts(size))
        finally:
            self._open -= Counter([question.subject])  # which forgets who has none

    def forget(self, version: str) -> None:
        """Forget the views of a version that is destroyed."""
        for key in [key for key in self._made if key[1] == version]:
            os.close(self._made.pop(key).memory)

    def close(self) -> None:
        """Forget every made view."""
        for made in self._made.values():
            os.close(made.memory)
        self._made.clear()

    # -- Queries ------------------------------------------------------------------------------------

    async def _asked(self, stack: contextlib.AsyncExitStack, question: Question) -> tuple[Child, Mapping[str, Any]]:
        """Have the view made and the query run; what the child says of its answer."""
        view = await self._view(question)
        limits = self._limits
        bounds = (limits.query_memory // 2, limits.threads, limits.rows, limits.answer)
        task = {"name": question.view.name, "sql": question.sql, "bounds": bounds}
        try:
            child = await stack.enter_async_context(self._forked(view))
            async with asyncio.timeout(limits.query_s):
                cpu_s = int(limits.query_s * limits.threads) + 1
                await child.tell({"memory": limits.query_memory, "cpu_s": cpu_s}, task)
                said = await child.line()
        except TimeoutError:
            raise Unanswered(f"the query took longer than {limits.query_s:g} s and was ended", ended="time") from None
        except (OSError, EOFError, ValueError, TypeError):
            why = "the query's process ended without an answer: it needed more memory than a query may use, or failed"
            raise Unanswered(why, ended="no answer") from None
        finally:
            os.close(view)
        if "ending" in said:
            raise _unanswered(said)
        return child, said

    # -- Views --------------------------------------------------------------------------------------

    async def _view(self, question: Question) -> int:
        """A descriptor of the made view, which is the caller's."""
        key = (question.repository, question.version, question.view)
        lock = self._making.setdefault(key, asyncio.Lock())
        async with lock:
            loop = asyncio.get_running_loop()
            made = self._made.get(key)
            if made is None:
                memory, size = await self._materialised(question)
                made = self._made[key] = _Made(memory, size, loop.time())
            made.used = loop.time()
            descriptor = os.dup(made.memory)
            self._forget_old()
            loop.call_later(self._limits.kept_s + 1, self._forget_old)
            return descriptor

    def _forget_old(self) -> None:
        """Forget views that nobody used for long, and the longest unused ones of too many."""
        now, room = asyncio.get_running_loop().time(), self._limits.kept
        for key, made in sorted(self._made.items(), key=lambda item: -item[1].used):
            room -= made.size
            if room < 0 or now - made.used > self._limits.kept_s:
                os.close(self._made.pop(key).memory)

    async def _materialised(self, question: Question) -> tuple[int, int]:
        limits, sources = self._limits, question.sources
        if sum(source.size for source in sources) > limits.files:
            raise TooLarge(f"the files of this view have more than {limits.files} bytes together")
        task = {
            "view": described(question.view),
            "key": question.key.hex(),
            "files": [(source.format, source.size) for source in sources],
            "memory": limits.view_memory // 2,
            "threads": limits.threads,
        }
        try:
            async with asyncio.timeout(limits.view_s), self._forked() as child:
                cpu_s = int(limits.view_s * limits.threads) + 1
                await child.tell({"memory": limits.view_memory, "cpu_s": cpu_s}, task)
                for source in sources:
                    with source.open() as parts:
                        for part in parts:
                            await child.say(part)
                            await asyncio.sleep(0)  # large files must not starve small requests
                said = await child.line()
                if "failed" in said:
                    raise _broken(claims.shown(said["failed"], LONGEST_SAID))
                return await _kept(child, _counted(said, 1 << 62, limits.view)[1])
        except TimeoutError:
            why = f"making the view took longer than {limits.view_s:g} s"
        except (OSError, EOFError, ValueError, TypeError) as error:
            why = f"the process that makes it ended without one ({type(error).__name__})"
        raise _broken(why)

    @asynccontextmanager
    async def _forked(self, *given: int) -> AsyncGenerator[Child]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                child = await stack.enter_async_context(forked(self._process, *given))
            except OSError as error:
                _log.warning("queries cannot be run: %s", error)
                raise Unavailable("queries", "their process does not start; nomoat doctor may say why") from None
            yield child


async def _kept(child: Child, size: int) -> tuple[int, int]:
    """Receive a made view into memory of its own, which nothing can change from then on."""
    memory = os.memfd_create("view", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        async for part in child.parts(size):
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(memory, rest) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(memory)
        raise
    return memory, size


def _broken(why: str) -> Unanswered:
    """Whoever queries hears that there is no view; whoever reads the log why. Nothing is shown unmasked instead."""
    _log.warning("a view could not be made: %s", why)
    return Unanswered("the view cannot be made of this version; the record says why", ended=f"no view: {why}")


def _unanswered(said: Mapping[str, Any]) -> Unanswered:
    try:
        ending, why = Ending(said["ending"]), claims.shown(said["said"], LONGEST_SAID)
    except (ValueError, TypeError, KeyError):
        ending, why = Ending.SQL, "the query failed"
    return Unanswered(why, ended=ending)


def _counted(said: Mapping[str, Any], most_rows: int, most_bytes: int) -> tuple[int, int]:
    """The rows and the bytes that a child says will follow. Raises `Unanswered` when that cannot be."""
    rows, size = said.get("rows"), said.get("bytes")
    if type(rows) is not int or type(size) is not int or not (0 <= rows <= most_rows and 0 < size <= most_bytes):
        raise Unanswered("the answer is larger than an answer may be", ended=Ending.BYTES)
    return rows, size
