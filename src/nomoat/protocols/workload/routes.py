"""JSON → the Operations of identity. Only the trust anchor and the checkpoint are public."""

from collections.abc import Callable, Mapping

from nomoat.core.operation import IssueToken, JoinWorkload, RegisterDevice, RenewCertificate, Whoami
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.fields import require_only, text, truth
from nomoat.protocols.http.routes import Route
from nomoat.resources.identities import Identities

PEM_LIMIT = 16 * 1024  # characters of a certificate signing request


def workload_routes(
    guard: Guard, identities: Identities, authority: bytes, checkpoint: Callable[[], bytes]
) -> list[Route]:
    """The routes of identity. `authority` is the trust domain's CA certificate (PEM)."""

    async def ca(exchange: Exchange, _: Mapping[str, str]) -> None:
        await exchange.answer(200, authority, content_type="application/x-pem-file")

    async def latest(exchange: Exchange, _: Mapping[str, str]) -> None:
        await exchange.answer(200, checkpoint(), content_type="text/plain; charset=utf-8")

    async def request_of(exchange: Exchange) -> bytes:
        body = await exchange.json()
        require_only(body, "csr")
        return text(body, "csr", longest=PEM_LIMIT).encode()

    async def device(exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RegisterDevice:
            return RegisterDevice(await request_of(exchange))

        async with guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await identities.register_device(permit))

    async def workload(exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> JoinWorkload:
            return JoinWorkload(await request_of(exchange))

        async with guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await identities.join_workload(permit))

    async def certificate(exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> RenewCertificate:
            body = await exchange.json()
            require_only(body, "csr", "restart")
            return RenewCertificate(
                text(body, "csr", longest=PEM_LIMIT).encode(), truth(body, "restart", default=False)
            )

        async with guard.admit(exchange.presented, parse) as permit:
            await exchange.answer_json(200, await identities.renew_certificate(permit))

    async def token(exchange: Exchange, _: Mapping[str, str]) -> None:
        async def parse(_: Principal) -> IssueToken:
            body = await exchange.json()
            require_only(body, "bound")
            return IssueToken(truth(body, "bound", default=False))

        async with guard.admit(exchange.presented, parse) as permit:
            # RFC 6749, section 5.1: an answer with a token must not be cached.
            issued = await identities.issue_token(permit)
            await exchange.answer_json(200, issued, headers={"Cache-Control": "no-store"})

    async def whoami(exchange: Exchange, _: Mapping[str, str]) -> None:
        async with guard.admit(exchange.presented, Whoami()) as permit:
            await exchange.answer_json(200, await identities.whoami(permit))

    return [
        Route("GET", "/v1/ca", "workload", None, ca),
        Route("GET", "/v1/checkpoint", "workload", None, latest),
        Route("POST", "/v1/device", "workload", RegisterDevice, device),
        Route("POST", "/v1/workload", "workload", JoinWorkload, workload),
        Route("POST", "/v1/certificate", "workload", RenewCertificate, certificate),
        Route("POST", "/v1/token", "workload", IssueToken, token),
        Route("GET", "/v1/whoami", "workload", Whoami, whoami),
    ]
