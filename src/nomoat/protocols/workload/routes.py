"""JSON → the Operations of identity. Only the trust anchor, and what proves that the log only grew, are public."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import final

from nomoat.core.operation import IssueToken, JoinWorkload, RegisterDevice, RenewCertificate, Whoami
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, size, text, truth
from nomoat.protocols.http.routes import Route
from nomoat.resources.identities import Identities

PEM_LIMIT = 16 * 1024  # characters of a certificate signing request


@final
class IdentityEndpoints:
    """The enforcement point for becoming and staying someone: each method serves one route.

    `authority` is the trust domain's CA certificate (PEM), `checkpoint` returns the log's newest one, and
    `consistency` the hashes that prove between two of its sizes, or raises `Malformed`.
    """

    def __init__(
        self,
        guard: Guard,
        identities: Identities,
        authority: bytes,
        checkpoint: Callable[[], bytes],
        consistency: Callable[[int, int], Sequence[bytes]],
    ) -> None:
        self._guard = guard
        self._identities = identities
        self._authority = authority
        self._checkpoint = checkpoint
        self._consistency = consistency

    async def _ca(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        await exchange.answer(200, self._authority, content_type="application/x-pem-file")

    async def _latest(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        await exchange.answer(200, self._checkpoint(), content_type="text/plain; charset=utf-8")

    async def _proof(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        """RFC 6962, section 4.4, in decimal and base64. A proof is at most 64 hashes, made in about 0.2 ms."""
        query = exchange.query()
        require_only(query, "old", "new")
        old, new = size(query, "old"), size(query, "new")
        proof = [b64encode(step).decode() for step in self._consistency(old, new)]
        await exchange.answer_json(200, {"old": old, "new": new, "proof": proof})

    async def _device(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RegisterDevice:
            return RegisterDevice(await _request_of(exchange))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._identities.register_device(permit))

    async def _workload(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> JoinWorkload:
            return JoinWorkload(await _request_of(exchange))

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._identities.join_workload(permit))

    async def _certificate(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RenewCertificate:
            body = await exchange.json()
            require_only(body, "csr", "restart")
            return RenewCertificate(
                text(body, "csr", longest=PEM_LIMIT).encode(), truth(body, "restart", default=False)
            )

        async with self._guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await self._identities.renew_certificate(permit))

    async def _token(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> IssueToken:
            body = await exchange.json()
            require_only(body, "bound")
            return IssueToken(truth(body, "bound", default=False))

        async with self._guard.admit(exchange.presented, parse) as permit:
            # RFC 6749, section 5.1: an answer with a token must not be cached.
            issued = await self._identities.issue_token(permit)
            await exchange.answer_json(200, issued, headers={"Cache-Control": "no-store"})

    async def _whoami(self, exchange: Exchange, _: Mapping[str, str]) -> None:
        async with self._guard.admit(exchange.presented, Whoami()) as permit:
            await exchange.answer_json(200, await self._identities.whoami(permit))

    def routes(self) -> list[Route]:
        """The routes of this protocol."""
        return [
            Route("GET", "/v1/ca", "workload", None, self._ca),
            Route("GET", "/v1/checkpoint", "workload", None, self._latest),
            Route("GET", "/v1/consistency", "workload", None, self._proof),
            Route("POST", "/v1/device", "workload", RegisterDevice, self._device),
            Route("POST", "/v1/workload", "workload", JoinWorkload, self._workload),
            Route("POST", "/v1/certificate", "workload", RenewCertificate, self._certificate),
            Route("POST", "/v1/token", "workload", IssueToken, self._token),
            Route("GET", "/v1/whoami", "workload", Whoami, self._whoami),
        ]


async def _request_of(exchange: Exchange) -> bytes:
    body = await exchange.json()
    require_only(body, "csr")
    return text(body, "csr", longest=PEM_LIMIT).encode()
