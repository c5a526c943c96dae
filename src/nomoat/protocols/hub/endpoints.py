"""The Hub's requests about one dataset or model → Operations, and their results back.

Rules: coordinates come from the path, decoded once; a query only says how to show things. Bodies are
parsed after authentication. A content leaves in parts, and the first one is verified before the
status line is sent.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

from nomoat.core.errors import Malformed, NotFound
from nomoat.core.names import RepositoryKind, RepositoryName, parse_path, parse_repository_name, parse_revision
from nomoat.core.operation import (
    DescribeFile,
    DescribeRepository,
    GrantUpload,
    ListFiles,
    PlanUpload,
    ReadFile,
    WriteFile,
)
from nomoat.core.principal import Principal
from nomoat.guard import Guard
from nomoat.protocols.http.exchange import Exchange
from nomoat.protocols.http.routes import Route
from nomoat.protocols.hub.answers import (
    content_headers,
    described_entries,
    described_names,
    described_repository,
    file_headers,
    granted_object,
    origin_of,
    parse_cursor,
    write_cursor,
)
from nomoat.protocols.hub.bodies import parse_batch, parse_paths, parse_preupload
from nomoat.protocols.hub.commits import ContentBudget, parse_commit
from nomoat.protocols.hub.ranges import parse_if_range, parse_range
from nomoat.resources.repositories import Reading, Writing
from nomoat.resources.repositories.listing import Page, entries_of, pages
from nomoat.resources.repositories.reading import Content

DEFAULT_BRANCH: Final = "main"
PAGE: Final = 5000  # entries of a listing in one answer: clients follow the link to the next, and each is a record
AT_ONCE: Final = 500  # entries that are described before others have their turn
EXPANDED_PAGE: Final = 50  # with the commits that last set them, as the Hub has it
LFS_JSON: Final = "application/vnd.git-lfs+json"
NO_XET: Final = (
    "this gateway does not speak the Xet protocol: set HF_HUB_DISABLE_XET=1 and upload again"
    " (nomoat env hub prints all settings)"
)
Values = Mapping[str, str]


class RepositoryEndpoints:
    """The enforcement point for the repositories of one kind; each method serves one route or a pair.

    `api` and `web` are what the paths of the kind begin with in the API and for files.
    """

    kind: ClassVar[RepositoryKind]
    api: ClassVar[str]
    web: ClassVar[str]

    def __init__(self, guard: Guard, reading: Reading, writing: Writing, budget: ContentBudget) -> None:
        self._guard = guard
        self._reading = reading
        self._writing = writing
        self._budget = budget

    # -- Reading ------------------------------------------------------------------------------------

    async def _describe(self, exchange: Exchange, values: Values) -> None:
        operation = DescribeRepository(self._name(values), _revision(values))
        async with self._guard.admit(exchange.presented, operation) as permit:
            blobs = exchange.asks("blobs")
            described = described_repository(self._reading.describe_repository(permit), blobs=blobs)
            await exchange.answer_json(200, described)

    async def _names(self, exchange: Exchange, values: Values) -> None:
        operation = DescribeRepository(self._name(values), DEFAULT_BRANCH)
        async with self._guard.admit(exchange.presented, operation) as permit:
            await exchange.answer_json(200, described_names(self._reading.describe_repository(permit)))

    async def _list(self, exchange: Exchange, values: Values) -> None:
        query, origin = exchange.query(), origin_of(exchange)
        under = values.get("path", "").rstrip("/")
        operation = ListFiles(self._name(values), _revision(values), parse_path(under) if under else "")
        recursive, expanded = exchange.asks("recursive"), exchange.asks("expand")
        after = parse_cursor(query["cursor"]) if "cursor" in query else ""
        async with self._guard.admit(exchange.presented, operation) as permit:
            listing = self._reading.list_files(permit)
            page = pages(listing, recursive=recursive, after=after, limit=EXPANDED_PAGE if expanded else PAGE)
            described: list[dict[str, object]] = []
            for start in range(0, len(page.entries), AT_ONCE):
                described += described_entries(page.entries[start : start + AT_ONCE], listing, expanded=expanded)
                await asyncio.sleep(0)
            permit.check()
            shown = {"recursive": recursive, "expand": expanded}
            headers = self._following(page, operation, listing.commit, origin, shown)
            await exchange.answer_json(200, described, headers=headers)

    async def _paths(self, exchange: Exchange, values: Values) -> None:
        paths: list[str] = []
        expanded = False

        async def parse(_: Principal) -> ListFiles:
            nonlocal expanded
            asked, expanded = await parse_paths(exchange)
            paths.extend(asked)
            return ListFiles(self._name(values), _revision(values), "")

        async with self._guard.admit(exchange.presented, parse) as permit:
            listing = self._reading.list_files(permit)
            await exchange.answer_json(200, described_entries(entries_of(listing, paths), listing, expanded=expanded))

    async def _head(self, exchange: Exchange, values: Values) -> None:
        operation = DescribeFile(self._name(values), _revision(values), parse_path(values["path"]))
        async with self._guard.admit(exchange.presented, operation) as permit:
            headers = file_headers(self._reading.describe_file(permit))
            await exchange.start(200, headers)
            await exchange.part(b"", more=False)

    async def _read(self, exchange: Exchange, values: Values) -> None:
        first, last = parse_range(exchange.header("range"))
        of = parse_if_range(exchange.header("if-range"))
        operation = ReadFile(self._name(values), _revision(values), parse_path(values["path"]), first, last, of)
        async with (
            self._guard.admit(exchange.presented, operation) as permit,
            self._reading.read_file(permit) as content,
        ):
            await _send(exchange, content)

    # -- Writing ------------------------------------------------------------------------------------

    async def _preupload(self, exchange: Exchange, values: Values) -> None:
        ignored: list[str] = []

        async def parse(_: Principal) -> PlanUpload:
            planned, left_out = await parse_preupload(exchange)
            ignored.extend(left_out)
            return PlanUpload(self._name(values), _revision(values), planned)

        async with self._guard.admit(exchange.presented, parse) as permit:
            planned = self._writing.plan_upload(permit)
            files = [
                {"path": file.path, "uploadMode": "regular" if file.inline else "lfs", "shouldIgnore": False}
                for file in planned
            ] + [{"path": path, "uploadMode": "regular", "shouldIgnore": True} for path in ignored]
            await exchange.answer_json(200, {"files": files})

    async def _batch(self, exchange: Exchange, values: Values) -> None:
        name, origin = self._name(values), origin_of(exchange)

        async def parse(_: Principal) -> GrantUpload:
            return GrantUpload(name, await parse_batch(exchange))

        async with self._guard.admit(exchange.presented, parse) as permit:
            prefix = f"{origin}/lfs/{self.kind}/{name}"
            objects = [granted_object(each, prefix) for each in self._writing.grant_upload(permit)]
            answered = {"transfer": "basic", "objects": objects, "hash_algo": "sha256"}
            await exchange.answer_json(
                200, answered, headers={"Content-Type": LFS_JSON, "Cache-Control": "private, no-store"}
            )

    async def _commit(self, exchange: Exchange, values: Values) -> None:
        name, origin = self._name(values), origin_of(exchange)
        if exchange.query().get("create_pr", "0") not in {"0", "false", "False"}:
            raise Malformed("there are no pull requests here; commit to the branch")
        with self._budget.share() as share:

            async def parse(_: Principal) -> WriteFile:
                body = await parse_commit(exchange.stream(), share)
                return WriteFile(name, _revision(values), body.changes, body.title, body.parent)

            async with self._guard.admit(exchange.presented, parse) as permit:
                commit = await self._writing.write_file(permit)
                answered = {
                    "success": True,
                    "commitOid": commit,
                    "commitUrl": f"{origin}{self.web}/{name}/commit/{commit}",
                    "hookOutput": "",
                }
                await exchange.answer_json(200, answered)

    async def _xet(self, exchange: Exchange, values: Values) -> None:
        """Tell a client with hf_xet, which may upload, how to: this is where it begins."""
        operation = PlanUpload(self._name(values), _revision(values), ())
        async with self._guard.admit(exchange.presented, operation) as permit:
            self._writing.plan_upload(permit)
            raise NotFound(NO_XET, kind="transfer")

    # -- around them --------------------------------------------------------------------------------

    def _listed(self) -> list[Route]:
        repository, files = f"{self.api}/{{namespace}}/{{name}}", f"{self.web}/{{namespace}}/{{name}}"
        return [
            Route("GET", repository, "hub", DescribeRepository, self._describe),
            Route("GET", f"{repository}/revision/{{+revision}}", "hub", DescribeRepository, self._describe),
            Route("GET", f"{repository}/refs", "hub", DescribeRepository, self._names),
            Route("GET", f"{repository}/tree/{{+revision}}", "hub", ListFiles, self._list),
            Route("GET", f"{repository}/tree/{{+revision}}/{{path*}}", "hub", ListFiles, self._list),
            Route("POST", f"{repository}/paths-info/{{+revision}}", "hub", ListFiles, self._paths),
            Route("HEAD", f"{files}/resolve/{{+revision}}/{{path*}}", "hub", DescribeFile, self._head),
            Route("GET", f"{files}/resolve/{{+revision}}/{{path*}}", "hub", ReadFile, self._read),
            Route("POST", f"{repository}/preupload/{{+revision}}", "hub", PlanUpload, self._preupload),
            Route("GET", f"{repository}/xet-write-token/{{+revision}}", "hub", PlanUpload, self._xet),
            Route("POST", f"{files}.git/info/lfs/objects/batch", "hub", GrantUpload, self._batch),
            Route("POST", f"{repository}/commit/{{+revision}}", "hub", WriteFile, self._commit),
        ]

    def _name(self, values: Values) -> RepositoryName:
        return parse_repository_name(self.kind, f"{values['namespace']}/{values['name']}")

    def _following(
        self, page: Page, operation: ListFiles, commit: str, origin: str, shown: Mapping[str, bool]
    ) -> dict[str, str]:
        """The address of the next page (RFC 8288), of the very commit that this one is of."""
        if not page.following:
            return {}
        under = f"/{quote(operation.under, safe='')}" if operation.under else ""
        asked = {name: str(yes).lower() for name, yes in shown.items()}
        query = urlencode({**asked, "cursor": write_cursor(page.following)})
        return {"Link": f'<{origin}{self.api}/{operation.repository}/tree/{commit}{under}?{query}>; rel="next"'}


def _revision(values: Values) -> str:
    return parse_revision(values.get("revision", DEFAULT_BRANCH))


async def _send(exchange: Exchange, content: Content) -> None:
    status, headers = content_headers(content)
    parts = content.parts or iter(())
    part, left = next(parts, b""), content.length
    await exchange.start(status, headers)
    while part and (left := left - len(part)) > 0:
        await exchange.part(part)
        part = next(parts, b"")
    await exchange.part(part, more=False)
