"""Having noise drawn: the releaser's process is started when a metric is first asked for.

Rules: one question at a time. A process that was asked and not heard out is ended, with the exact numbers that it
keeps; what was charged for its answer stays charged.
"""

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final, final

from nomoat.core import claims
from nomoat.core.errors import Unavailable
from nomoat.resources.metrics.mechanism import Drawn, Part
from nomoat.server.subprocesses import end

LONGEST_S: Final = 60.0
LONGEST_ANSWER: Final = 4 << 20
MOST_VALUES: Final = 1 << 20


@final
class Releaser:
    """The process that keeps exact numbers and tells noisy ones."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def knows(self, key: str) -> bool:
        """Whether it has the numbers of `key`. Raises `Unavailable`, as all of these."""
        return await self._ask({"do": "knows", "key": key}) is True

    async def learn(self, key: str, shape: Mapping[str, int], tables: Sequence[bytes]) -> bool:
        """Add up what was found in the files of a version; False when that is not what was asked for."""
        said = {"do": "learn", "key": key, "shape": dict(shape), "tables": [str(each, "utf-8") for each in tables]}
        return await self._ask(said) is True

    async def release(self, key: str, parts: Sequence[Part]) -> Sequence[Drawn]:
        """Draw noise once for each part."""
        answer = await self._ask({"do": "release", "key": key, "parts": [list(part) for part in parts]})
        try:
            return list(map(_drawn, claims.items(answer, len(parts))))
        except ValueError:
            raise Unavailable("metrics", "the process that draws noise answered something else") from None

    async def _ask(self, question: Mapping[str, Any]) -> object:
        async with self._turn:
            try:
                async with asyncio.timeout(LONGEST_S):
                    process = self._process or await self._start()
                    assert process.stdin is not None  # noqa: S101 - it is a pipe
                    process.stdin.write(json.dumps(question).encode() + b"\n")
                    await process.stdin.drain()
                    return await _line(process)
            except (OSError, TimeoutError, ValueError, EOFError) as error:
                await self._end()
                raise Unavailable("metrics", f"the process that draws noise failed ({type(error).__name__})") from None
            except BaseException:  # it may still be at work on what nobody waits for any more
                await self._end()
                raise

    async def _start(self) -> Process:
        if find_spec("opendp") is None:
            raise Unavailable("metrics", "OpenDP is not installed; install nomoat[metrics] where the gateway runs")
        # -P: no module of whatever directory the gateway was started from. No environment: nothing to find.
        command = [sys.executable, "-P", "-m", "nomoat.server.releaser"]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, limit=LONGEST_ANSWER
        )
        await _line(self._process)
        return self._process

    async def end(self) -> None:
        """End the process, if there is one."""
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it holds nothing that could be lost
        await end(process)


async def _line(process: Process) -> object:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return claims.parse(line)


def _drawn(answer: object) -> Drawn:
    values, scale, accuracy = claims.items(answer, 3)
    numbers = claims.items(values, MOST_VALUES)
    return Drawn(tuple(map(claims.whole, numbers)), claims.number(scale), claims.number(accuracy))
