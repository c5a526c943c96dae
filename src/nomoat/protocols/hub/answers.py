"""Results → what the Hub answers: JSON and headers as huggingface_hub reads them.

Rules: nothing is said that the permit's resource did not give. `xetHash` is never said: a client that
has hf_xet would look for the content elsewhere.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, cast
from urllib.parse import quote

from nomoat.core.errors import Malformed
from nomoat.core.names import RepositoryKind, RepositoryName, parse_path
from nomoat.protocols.http.exchange import Exchange
from nomoat.resources.repositories import Revision, StoredFile
from nomoat.resources.repositories.browsing import Found
from nomoat.resources.repositories.listing import Entry, Listing
from nomoat.resources.repositories.reading import Content, Description, FoundFile, tag_of
from nomoat.resources.repositories.writing import GrantedUpload

_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


def origin_of(exchange: Exchange) -> str:
    """Where this client reaches the gateway, for the addresses in its answer (`https://host:port`)."""
    host = exchange.header("host") or ""
    if not _HOST.fullmatch(host):
        raise Malformed("the Host header is not a host")
    return f"https://{host}"


def described_repository(description: Description, *, blobs: bool = False) -> dict[str, object]:
    """A repository as `model_info` and `dataset_info` read it, with sizes and digests of files if `blobs`."""
    siblings = [
        {"rfilename": path, **(_described_blob(description.files[path]) if blobs else {})} for path in description.paths
    ]
    described = _described(description.id, description.name, description.created_at, description.revision)
    return {**described, "siblings": siblings}


def described_found(found: Found) -> dict[str, object]:
    """A repository as `list_datasets` and `list_models` read it."""
    return _described(found.created.id, found.created.name, found.created.created_at, found.head)


def _described(identifier: str, name: RepositoryName, created_at: float, head: Revision | None) -> dict[str, object]:
    return {
        "_id": identifier[:24],
        "id": str(name),
        "author": name.namespace,
        **({"sha": head.id} if head else {}),
        "createdAt": _moment(created_at),
        "lastModified": _moment(head.at if head else created_at),
        "private": True,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        **({"modelId": str(name)} if name.kind is RepositoryKind.MODEL else {}),
    }


def described_names(description: Description) -> dict[str, object]:
    """A repository's branches and tags as `list_repo_refs` reads them."""
    branches, tags = (
        [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit} for name, commit in sorted(named.items())]
        for kind, named in (("heads", description.branches), ("tags", description.tags))
    )
    return {"branches": branches, "converts": [], "tags": tags, "pullRequests": []}


def described_commit(made: Revision) -> dict[str, object]:
    """A commit as `list_repo_commits` reads it. Titles are text: no markup is made of them."""
    told = {"title": made.title, "message": ""}
    authors = [{"user": made.author.partition(":")[2]}]
    return {"id": made.id, "authors": authors, "date": _moment(made.at), **told, "formatted": told}


def described_entries(entries: Sequence[Entry], listing: Listing, *, expanded: bool = False) -> list[dict[str, object]]:
    """Files and folders as `list_repo_tree` reads them, `expanded` with the commits that last set the files.

    What these are called is for who may list commits.
    """
    described = [_described_entry(entry, listing.commit) for entry in entries]
    if expanded:
        last = listing.last_changes([entry.path for entry in entries if entry.file])
        for each in described:
            if changed := last.get(str(each["path"])):
                each["lastCommit"] = {"id": changed.commit, "title": "", "date": _moment(changed.at)}
    return described


def _described_entry(entry: Entry, commit: str) -> dict[str, object]:
    """A folder's id stands for its path at this commit."""
    if entry.file is None:
        identifier = hashlib.sha256(f"{commit}:{entry.path}".encode()).hexdigest()[:40]
        return {"type": "directory", "path": entry.path, "oid": identifier, "size": 0}
    file = entry.file
    described: dict[str, object] = {"type": "file", "path": entry.path, "size": file.size, "oid": file.git_oid}
    if not file.git_oid:
        described["oid"], length = _pointer(file)
        described["lfs"] = {"oid": file.digest, "size": file.size, "pointerSize": length}
    return described


def _described_blob(file: StoredFile) -> dict[str, object]:
    """A file as the `siblings` of a repository have it."""
    if file.git_oid:
        return {"blobId": file.git_oid, "size": file.size}
    identifier, length = _pointer(file)
    lfs = {"sha256": file.digest, "size": file.size, "pointerSize": length}
    return {"blobId": identifier, "size": file.size, "lfs": lfs}


def file_headers(found: FoundFile) -> dict[str, str]:
    """The headers that tell a download what the file is, in the answers to HEAD and GET."""
    file = found.file
    etag = f'"{tag_of(file)}"'
    return {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(file.size),
        "Content-Disposition": _disposition(found.path.rpartition("/")[2]),
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "ETag": etag,
        "X-Repo-Commit": found.commit,
        "X-Linked-Etag": etag,
        "X-Linked-Size": str(file.size),
    }


@lru_cache(maxsize=1024)
def _disposition(name: str) -> str:
    """A content is a file to be saved, not a page to be shown (RFC 6266, section 4.3)."""
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def content_headers(content: Content) -> tuple[int, dict[str, str]]:
    """The status and headers of an answer with a content, or with a part of it (RFC 9110, section 15.3.7)."""
    headers = file_headers(content.found)
    if content.parts is None:
        return 416, {**headers, "Content-Length": "0", "Content-Range": f"bytes */{content.found.file.size}"}
    if not content.partial:
        return 200, headers
    span = f"bytes {content.first}-{content.last}/{content.found.file.size}"
    return 206, {**headers, "Content-Length": str(content.length), "Content-Range": span}


def granted_object(granted: GrantedUpload, prefix: str) -> dict[str, object]:
    """One object of an LFS batch answer (Git LFS API, `batch`); without actions when nothing is to be sent."""
    answered: dict[str, object] = {"oid": granted.digest, "size": granted.size, "authenticated": True}
    if granted.secret:
        href = f"{prefix}/{granted.digest}/{granted.size}/{granted.secret}"
        answered["actions"] = {"upload": {"href": href, "header": {}}}
    return answered


def described_caller(caller: Mapping[str, object]) -> dict[str, object]:
    """The caller as `whoami` reads it, with everything the gateway says beside it."""
    subject, groups = str(caller["subject"]), cast("list[str]", caller["groups"])
    name = subject.partition(":")[2]
    orgs = [{"type": "org", "name": group} for group in groups]
    token = {"displayName": "NoMoat access token", "role": "fineGrained"}
    return {
        "type": "user",
        "id": subject,
        "name": name,
        "fullname": name,
        "orgs": orgs,
        "auth": {"type": "access_token", "accessToken": token},
        "nomoat": caller,
    }


def write_cursor(path: str) -> str:
    """Where a listing goes on, as text for a query."""
    return base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")


def parse_cursor(text: str) -> str:
    """Parse what `write_cursor` wrote; raise `Malformed` for anything else."""
    try:
        path = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        path = ""
    if not path or write_cursor(path) != text:
        raise Malformed("the cursor of a listing is taken from the answer before it")
    return parse_path(path)


def _pointer(file: StoredFile) -> tuple[str, int]:
    """The git object id and length of a content's Git LFS pointer file (Git LFS specification, version 1)."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.digest}\nsize {file.size}\n".encode()
    return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest(), len(pointer)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
