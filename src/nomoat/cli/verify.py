"""`verify`: whether a downloaded model is the one that was signed."""

from datetime import UTC, datetime
from pathlib import Path

import click

from nomoat.attestation.errors import FilesDiffer, NotVerified, Reason
from nomoat.attestation.model_signature import FILE_NAME
from nomoat.cli import output
from nomoat.cli.invocation import Invocation, json_option, pass_invocation, profile_option
from nomoat.cli.problems import ExitCode
from nomoat.cli.reading import reading
from nomoat.client.signatures import Demand, VerifiedSnapshot, demand, verify_snapshot
from nomoat.core.errors import Malformed

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
SHOWN_DIFFERENCES = 20


class Instant(click.ParamType[int]):
    """A time with its zone (ISO 8601), as whole Unix seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            self.fail(f"{str(value)!r:.60} is no time with its zone, such as 2026-11-22T19:31:00Z", param, ctx)
        return int(at.timestamp())


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--signature", metavar="FILE", type=click.Path(path_type=Path), help=f"The signature [default: DIR/{FILE_NAME}]."
)
@click.option("--key", metavar="FILE", type=FILE, help="Demand a signature by this public key (PEM).")
@click.option("--ca", metavar="FILE", type=FILE, help="Demand one by a certificate of this authority (PEM).")
@click.option("--identity", metavar="SPIFFE-ID", default="", help="Demand that this is who signed.")
@click.option(
    "--at", metavar="TIME", type=Instant(), help="When the certificate has to have been valid [default: now]."
)
@click.option("--publisher-signed", is_flag=True, help="Demand that its publisher signed it, too (nomoat publish).")
@profile_option
@json_option
@pass_invocation
def verify(
    invocation: Invocation,
    directory: Path,
    signature: Path | None,
    key: Path | None,
    ca: Path | None,
    identity: str,
    at: int | None,
    publisher_signed: bool,
) -> int:
    """Verify offline that DIRECTORY is, file for file, a model that was signed.

    A file that is missing, changed or not signed fails, wherever it lies. Signatures are those of OpenSSF Model
    Signing. Without --key and --ca, the signature has to be by the gateway that your profile is logged in to.
    """
    try:
        demanded = demand(invocation.profile, key=key, authority=ca, spiffe_id=identity)
    except Malformed as error:  # nothing was verified
        raise click.UsageError(error.reason) from None
    judged = int(invocation.clock()) if at is None else at
    try:
        with reading(shown=not invocation.as_json) as watch:
            done = verify_snapshot(directory, signature or directory / FILE_NAME, demanded, judged, watch)
        if publisher_signed and done.publisher is None:
            raise NotVerified("its publisher did not sign it", Reason.SIGNER)
    except NotVerified as error:
        _tell(error, as_json=invocation.as_json)
        return ExitCode.VERIFICATION_FAILED
    _print(done, demanded, judged, as_json=invocation.as_json)
    return ExitCode.DONE


def _tell(error: NotVerified, *, as_json: bool) -> None:
    differences = error.differences if isinstance(error, FilesDiffer) else ()
    if as_json:
        listed = [{"path": each.path, "fault": str(each.fault)} for each in differences]
        output.document(
            {"verified": False, "reason": str(error.reason), "error": error.sentence, "differences": listed}
        )
        return
    for each in differences[:SHOWN_DIFFERENCES]:
        output.answer(f"  {each.fault:<8}  {each.path}")
    if (more := len(differences) - SHOWN_DIFFERENCES) > 0:
        output.answer(f"  and {more} more")
    sentence = "these are not the files that were signed" if differences else error.sentence
    output.answer(f"model NOT VERIFIED: {sentence}")
    match error.reason:
        case Reason.FILES:
            output.say("  next   do not load it; download it again into an empty directory, then verify that")
        case Reason.UNSIGNED:
            output.say("  next   download it with its signature, or say where that is: --signature FILE")
        case Reason.EXPIRED:
            output.say("  next   if the log's record of the signing says when that was: --at TIME")
        case _:
            output.say("  next   do not load it; ask who published it for whose signature it should carry")


def _print(done: VerifiedSnapshot, demanded: Demand, at: int, *, as_json: bool) -> None:
    model, signer = done.model, done.model.signer
    judged = datetime.fromtimestamp(at, UTC).isoformat()
    if as_json:
        named = {"spiffe_id": signer.spiffe_id, "subject": signer.subject, "key_id": signer.key_id}
        output.document(
            {
                "verified": True,
                "name": model.name,
                "publisher": model.publisher.subject if model.publisher else None,
                "publisher_signed": done.publisher is not None,
                "publisher_key": done.publisher.key_id if done.publisher else None,
                "signer": {name: value or None for name, value in named.items()},
                "trusted": demanded.source,
                "at": judged,
                "files": done.files,
                "bytes": done.size,
                "root": model.manifest.root,
                "dir_hash": model.manifest.dir_hash,
            }
        )
        return
    output.facts(
        [
            ("model", model.name),
            *([("published by", _publisher(done))] if model.publisher else []),
            ("signed by", str(signer)),
            ("trusted", demanded.source),
            ("root digest", f"sha256:{model.manifest.root}"),
        ]
    )
    counted = output.counted(done.files, "file")
    output.answer(f"model verified: {counted}, {done.size} bytes, each as it was signed, and none besides")


def _publisher(done: VerifiedSnapshot) -> str:
    said = done.model.publisher
    if said is None:
        return ""
    at = datetime.fromtimestamp(said.at, UTC).isoformat(timespec="minutes")
    return f"{said.subject}, {at}" + (
        f", who signed it too (key {done.publisher.key_id[:12]}…)" if done.publisher else ""
    )
