"""Deleting a repository by the stock client: over mutual TLS by its owner, and with a bearer by nobody."""

from tests.hub.live import Live

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


def test_a_repository_is_deleted_by_its_owner_over_a_bound_connection_only(live: Live) -> None:
    live.declare(DECLARED)
    keeper = live.join("person:keeper")
    live.done("keeper", BEARER)
    live.done(
        "keeper",
        BOUND.format(ca=str(keeper.ca_path), certificate=str(keeper.certificate_path), key=str(keeper.key_path)),
    )
    (deleted,) = live.records("what DeleteRepository allowed")
    assert deleted["on"]["name"] == "acme/condemned"
    assert deleted["outcome"]["facts"]["contents"] == "1"
