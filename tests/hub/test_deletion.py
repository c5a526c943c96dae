"""Deleting a repository by the stock client: its owner does it behind a proxy or over mutual TLS, with a bearer nobody."""

from tests.hub.live import Live
from tests.hub.ways import Way

DECLARED = """
[[person]]
name = "keeper"
groups = ["data-engineers"]
clearance = "confidential"
[[dataset]]
name = "acme/condemned"
classification = "internal"
owner = "group:data-engineers"
"""
BEARER = """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    api, where = HfApi(), dict(repo_id="acme/condemned", repo_type="dataset")
    api.create_repo(**where)
    api.upload_file(path_or_fileobj=b"x" * 5000, path_in_repo="a.bin", **where)
    try:
        api.delete_repo(**where)
    except HfHubHTTPError as error:
        assert error.response.status_code == 403
        assert "removal-needs-a-bound-credential" in str(error), error
    else:
        raise AssertionError("deleted with what anybody could carry")
    assert api.repo_exists(**where)
"""
BOUND = """
    import ssl, httpx2, huggingface_hub as hub
    context = ssl.create_default_context(cafile={ca!r})
    context.load_cert_chain({certificate!r}, {key!r})
    hub.set_client_factory(lambda: httpx2.Client(verify=context))
    api, where = hub.HfApi(token=False), dict(repo_id="acme/condemned", repo_type="dataset")
    api.delete_repo(**where)
    assert not api.repo_exists(**where)
    api.delete_repo(missing_ok=True, **where)
    api.create_repo(**where)
    assert list(api.list_repo_tree(**where)) == []
"""
# What `nomoat env` gives is bound or not, and that decides it.
COMMAND = """
    import os, subprocess, sys
    def hf(*words):
        command = [os.path.join(os.path.dirname(sys.executable), "hf"), *words]
        return subprocess.run(command, capture_output=True, text=True)
    name, way = os.environ["REPOSITORY"] + "-condemned", os.environ["REPOSITORY"].partition("/")[2]
    assert hf("repos", "create", name, "--type", "dataset").returncode == 0
    open("condemned.bin", "wb").write(b"x" * 5000)
    assert hf("upload", name, "condemned.bin", "a.bin", "--type", "dataset").returncode == 0
    deleted = hf("repos", "delete", name, "--type", "dataset", "-y")
    info = hf("datasets", "info", name)
    if way == "proxy":
        assert deleted.returncode == 0, deleted.stderr
        assert info.returncode != 0, info.stdout
    else:
        assert deleted.returncode != 0, deleted.stdout
        assert "removal-needs-a-bound-credential" in deleted.stderr, deleted.stderr
        assert info.returncode == 0, info.stderr
"""


def test_the_hf_command_deletes_what_is_its_user_s_where_the_credential_is_bound(way: Way) -> None:
    way.live.declare(DECLARED.replace("keeper", f"keeper-{way.name}").replace("acme/", f"acme/{way.name}-"))
    way.live.join(f"person:keeper-{way.name}")
    way.done(f"keeper-{way.name}", COMMAND)


def test_a_repository_is_deleted_by_its_owner_over_a_bound_connection_only(live: Live) -> None:
    live.declare(DECLARED)
    keeper = live.join("person:keeper")
    live.done("keeper", BEARER)
    live.done(
        "keeper",
        BOUND.format(ca=str(keeper.ca_path), certificate=str(keeper.certificate_path), key=str(keeper.key_path)),
    )
    (deleted,) = live.records("what DeleteRepository allowed on acme/condemned")
    assert deleted["on"]["name"] == "acme/condemned"
    assert deleted["outcome"]["facts"]["contents"] == "1"
