"""`publish`: a model's directory as a new version, signed by who publishes it."""

from pathlib import Path

import click

from nomoat.cli import output
from nomoat.cli.invocation import Invocation, hold_option, json_option, pass_invocation, profile_option
from nomoat.cli.problems import tell
from nomoat.cli.reading import reading
from nomoat.cli.versions import repository_named
from nomoat.client.environment import hub_through
from nomoat.client.publication import require_client, send, sign_directory
from nomoat.core.errors import NoMoatError

DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("repository")
@click.option("--branch", metavar="NAME", default="main", show_default=True, help="The branch that gets it.")
@click.option("-m", "--message", metavar="TEXT", default="Publish", show_default=True, help="The commit's title.")
@hold_option
@profile_option
@json_option
@pass_invocation
def publish(invocation: Invocation, directory: Path, repository: str, branch: str, message: str, hold: float) -> None:
    """Publish DIRECTORY as the next version of the model REPOSITORY, with your own signature.

    The branch becomes exactly DIRECTORY, in one commit. The key of this profile signs all files, into publisher.sig
    beside them; the gateway keeps that only if it holds, says in its own signature who published, and policies
    can demand it. The files are sent by huggingface_hub. What was sent before is not sent again.
    """
    # The server is loaded only here: other commands must start fast.
    from nomoat.client.proxy.serving import Proxy  # noqa: PLC0415

    def warn(error: NoMoatError) -> None:
        output.say("nomoat: the files are not sent now:")
        tell(error, as_json=False, environment=invocation.environment)

    require_client()
    name, profile = repository_named(repository, dataset=False), invocation.profile
    with reading(shown=not invocation.as_json) as watch, invocation.session() as session:
        signed = sign_directory(session, directory, name, watch)
    with Proxy(profile, invocation.clock, warn, hold=hold) as proxy:
        settings = hub_through(proxy.entrance, profile, profile.identity(), invocation.environment)
        commit = send(signed, name, branch, message, settings.applied(invocation.environment))
    if invocation.as_json:
        output.document(
            {
                "repository": str(name),
                "commit": commit,
                "signer": signed.signer,
                "files": len(signed.files),
                "bytes": signed.size,
            }
        )
        return
    output.answer(f"{name}@{commit[:8]} published: {output.counted(len(signed.files), 'file')}, {signed.size} bytes")
    output.say(f"  signed  by {signed.signer}, and by the gateway")
    output.say(f"  next    where it stands, and whether somebody has to approve it: nomoat versions {name}")
