"""Commits to models, signed: by the gateway whatever they leave, and by their publisher where that signature holds.

Rules: nobody but the gateway writes `model.sig`. INVARIANT (the publisher's own): a version has a `publisher.sig` only
where whoever committed it signed, with the certificate of their own SPIFFE ID that was valid then, exactly the other
files of that version, as one of this model; one that does not hold refuses the commit, and one of the version before is dropped with what it
was over. What a refusal tells of other files on the branch is only that they are not what was signed.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import final

from nomoat.attestation.bundle import BUNDLE_LIMIT
from nomoat.attestation.errors import FilesDiffer, NotVerified, Reason
from nomoat.attestation.model_signature import FILE_NAME, PUBLISHER_FILE_NAME, Publisher, verify_bundle
from nomoat.attestation.signer import Signer, Trusted
from nomoat.core.errors import Conflict, Malformed, TooLarge
from nomoat.core.names import RepositoryName
from nomoat.core.verdict import Report, Verdict
from nomoat.resources.repositories.resolution import CommitPlace
from nomoat.resources.repositories.signatures import Signatory, digests_of, sign_version
from nomoat.stores.catalog import Catalog
from nomoat.stores.objects import Objects
from nomoat.stores.revisions import Draft, SignatureDraft, StoredFile


@final
class Publishing:
    """Gives drafts of models the signatures that they have to have."""

    def __init__(self, catalog: Catalog, objects: Objects, signatory: Signatory) -> None:
        self._catalog = catalog
        self._objects = objects
        self._signatory = signatory

    async def sign(self, name: RepositoryName, draft: Draft, publisher: str) -> tuple[Draft, Signer | None]:
        """A draft with the gateway's signature over what it makes of the branch as it is now, and who signed besides.

        `publisher` is the SPIFFE ID of who commits. What changes nothing stays as it is. Raises `Malformed` for a
        publisher's signature that does not hold.
        """
        created = self._catalog.find(name)
        head = self._catalog.head(created, draft.branch) if created else None
        if head is None:
            return draft, None  # the state says so, too
        before = digests_of(head.files)
        after = {path: digest for path, digest in before.items() if path not in draft.removed}
        after.update({path: digest for path, (digest, _) in draft.files.items()})
        if after == before and (FILE_NAME in head.files or not after):
            return draft, None
        signer = None
        if PUBLISHER_FILE_NAME in draft.files:
            signer = await self._publisher(name, draft, publisher, _others(after))
        elif PUBLISHER_FILE_NAME in after and _others(after) != _others(before):
            del after[PUBLISHER_FILE_NAME]
            draft = replace(draft, removed=draft.removed | {PUBLISHER_FILE_NAME})
        signature = await self._signature(name, draft, publisher, head.revision.id, after)
        return replace(draft, signature=signature), signer

    async def _signature(
        self, name: RepositoryName, draft: Draft, publisher: str, head: str, files: Mapping[str, str]
    ) -> SignatureDraft:
        if not files:
            return SignatureDraft(head, FILE_NAME, files, None)
        said = Publisher(draft.author, publisher, int(draft.at))
        content = await asyncio.to_thread(sign_version, self._signatory, name, files, said)
        file = await store_content(self._objects, draft.repository, hashlib.sha256(content).hexdigest(), content)
        return SignatureDraft(head, FILE_NAME, files, (file, Report(Verdict.CLEAN, "json")))

    async def _publisher(self, name: RepositoryName, draft: Draft, publisher: str, files: Mapping[str, str]) -> Signer:
        """Who signed exactly `files` as the model `name`: the one who publishes them. Raises `Malformed`."""
        digest, _ = draft.files[PUBLISHER_FILE_NAME]
        sent = draft.inline
        if digest not in sent:
            sent = self._catalog.sent(draft.repository, draft.author, [digest])
        if digest not in sent:
            raise Malformed(f"the content of {PUBLISHER_FILE_NAME} was not sent")
        file, _ = sent[digest]
        trusted = Trusted.of_svid((self._signatory.authority,), publisher)
        try:
            if file.size > BUNDLE_LIMIT:  # an upload may be of any size
                raise TooLarge(f"a bundle has at most {BUNDLE_LIMIT} bytes")
            with self._objects.open(file.blob, draft.repository, digest) as content:
                bundle = b"".join(content.segments())
            model = await asyncio.to_thread(verify_bundle, bundle, trusted, files, int(draft.at))
            if model.name != str(name):  # the same files may mean less where they were signed before
                raise NotVerified(f"it names {model.name!r:.100}", Reason.STATEMENT)
        except FilesDiffer as error:
            ours = [str(each) for each in error.differences if each.path in draft.files]
            why = f"{ours[0]} by it" if ours else "files of the branch are not in it, or others than it says"
        except NotVerified as error:
            why = error.sentence
        except (Malformed, TooLarge) as error:
            why = error.reason
        else:
            return model.signer
        raise Malformed(
            f"{PUBLISHER_FILE_NAME} has to be your own signature over all other files of this version: {why}; "
            "'nomoat publish' makes one, and without that file the gateway's signature stands alone"
        )


async def store_content(objects: Objects, repository: str, digest: str, content: bytes) -> StoredFile:
    """Keep a content that is in memory. Raises `Unavailable`."""
    with objects.begin(repository, digest, len(content)) as upload:
        upload.write(content)
        blob = await upload.finish()
    return StoredFile(digest, len(content), _git_oid(content), blob)


def without_signature(place: CommitPlace) -> CommitPlace:
    """A commit to a model without what it does to the gateway's signature, which is made anew. Raises `Conflict`."""
    if any(path.startswith(f"{FILE_NAME}/") for path in place.files):
        raise Conflict(f"{FILE_NAME} is the model's signature, and no folder")
    signature = {FILE_NAME}
    return replace(
        place,
        files={path: change for path, change in place.files.items() if path != FILE_NAME},
        removed=place.removed - signature,
        missing=place.missing - signature,
    )


def _others(files: Mapping[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in files.items() if path != PUBLISHER_FILE_NAME}


def _git_oid(content: bytes) -> str:
    """The git object id of a content: clients know an inline file by it. It protects nothing."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
