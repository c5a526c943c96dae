"""A prompt that a server may have taken is sent to it once; how long it may take, and what is known of it."""

import asyncio

import pytest

from nomoat.core.errors import Unavailable
from nomoat.core.inference import Health
from nomoat.stores.circuits import TRIES
from nomoat.stores.upstreams import Unsent, Upstreams
from tests.inference.test_hostile_servers import CHUNKED, EMPTY, Server, asked, played, serving, words


@played
async def test_a_prompt_is_not_sent_again_to_a_server_that_may_have_taken_it() -> None:
    """Also not where the connection was kept: the server may have died of it."""
    prompts = 0

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal prompts
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(EMPTY)
        await reader.readuntil(b"\r\n\r\n{}")
        prompts += 1
        writer.transport.abort()

    servers = Upstreams()
    async with serving(dying) as server:
        assert await asked(servers, server.upstream()) == (200, b"{}")
        with pytest.raises(Unavailable, match="gave no answer") as failed:
            await asked(servers, server.upstream())
        assert not isinstance(failed.value, Unsent), "nobody else is sent it either"
        await asyncio.sleep(0.1)
    servers.close()
    assert prompts == 1


@played
async def test_a_connection_that_the_server_ended_meanwhile_is_not_used() -> None:
    taken = 0

    async def brief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(EMPTY)
        await writer.drain()

    servers = Upstreams()
    async with serving(brief) as server:
        for _ in range(20):
            assert await asked(servers, server.upstream()) == (200, b"{}")
            await asyncio.sleep(0.01)
    servers.close()
    assert taken == 20


@played
async def test_a_server_that_does_not_begin_in_its_time_is_given_up() -> None:
    servers = Upstreams()
    async with serving(words()) as server:
        with pytest.raises(Unavailable, match="did not answer"):
            await asked(servers, server.upstream(first_byte_s=1))
    servers.close()


@played
async def test_a_server_that_never_stops_is_given_up_after_its_time() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED)
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    servers = Upstreams()
    async with serving(trickle) as server:
        upstream = server.upstream(timeout_s=1)
        with pytest.raises(Unavailable, match="did not end its answer in 1 s"):
            await asked(servers, upstream)
        assert "did not end" in servers.health(upstream).why
    servers.close()


@played
async def test_what_is_known_of_a_server_is_what_requests_showed() -> None:
    servers = Upstreams()
    async with serving(words(EMPTY)) as server:
        upstream = server.upstream()
        assert servers.health(upstream) == Health()
        assert servers.health(upstream).state == "unknown"
        await asked(servers, upstream)
        assert servers.health(upstream).state == "answering"
    gone = Server(9).upstream()
    for number in range(TRIES):
        with pytest.raises(Unsent, match="cannot be reached"):
            await asked(servers, gone)
        found = servers.health(gone)
        assert (found.state, found.failures) == ("failing" if number < TRIES - 1 else "left alone", number + 1)
    with pytest.raises(Unsent, match="asked again in"):
        await asked(servers, gone)
    found = servers.health(gone)
    assert (found.answered, "cannot be reached" in found.why, 0 < found.left_alone <= 2) == (None, True, True)
    servers.close()


@played
async def test_a_mistake_that_may_be_the_prompt_s_own_closes_no_circuit() -> None:
    """Otherwise who finds a prompt that a server dies of takes it from everybody."""
    servers = Upstreams()
    async with serving(words(b"nonsense\r\n\r\n")) as server:
        upstream = server.upstream()
        for _ in range(2 * TRIES):
            with pytest.raises(Unavailable, match="gave no answer"):
                await asked(servers, upstream)
        assert (servers.health(upstream).failures, servers.health(upstream).why[:2]) == (0, "u ")
    servers.close()
