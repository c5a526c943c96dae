"""Stock clients on a network that breaks: by each way they go on where they were, and send again only what is missing."""

import pytest

from tests.hub.ways import Way

FAR = """
[[workload]]
name = "far-{way}"
segment = "ingestion"
clearance = "confidential"
"""
MIB = 1 << 20


@pytest.fixture(scope="module")
def far(taken: Way) -> str:
    """A workload that has the breaking network between itself and the gateway."""
    name = f"far-{taken.name}"
    taken.live.declare(FAR.format(way=taken.name))
    taken.live.join(f"workload:{name}", taken.live.network.url)
    return name


def test_a_download_goes_on_where_the_network_broke_it_off(way: Way, far: str) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import HfApi
        part = os.urandom(1 << 20)
        HfApi().upload_file(path_or_fileobj=part * 24, path_in_repo="broken/a.bin", repo_id=os.environ["REPOSITORY"],
                            repo_type="dataset")
        """,
    )
    with way.live.network.breaking(download=14 * MIB):
        way.done(
            far,
            """
            import hashlib, os
            from huggingface_hub import HfApi
            api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
            (info,) = api.get_paths_info(paths="broken/a.bin", **where)
            with open(api.hf_hub_download(filename="broken/a.bin", **where), "rb") as got:
                assert hashlib.file_digest(got, "sha256").hexdigest() == info.lfs.sha256
            """,
        )
    # Where all of the first one was on its way already when the network broke, it ended well, and there is nothing to say.
    facts = [ended.get("facts") for ended in way.endings(f"what ReadFile by {far}", 2)]
    assert {"range": f"{10 * MIB}-{24 * MIB - 1}"} in facts


def test_an_upload_that_the_network_broke_off_is_made_again_and_no_other(way: Way, far: str) -> None:
    """An upload URL is used up by what arrived whole; Git LFS knows no part of a content."""
    with way.live.network.breaking(upload=6 * MIB):
        way.done(
            far,
            """
            import os
            from huggingface_hub import CommitOperationAdd as Add, HfApi
            api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
            made = [Add(f"sent/{n}.bin", bytes([n]) * (4 << 20)) for n in range(3)]
            api.create_commit(operations=made, commit_message="all three", num_threads=1, **where)
            assert len(list(api.list_repo_tree(path_in_repo="sent", **where))) == 3
            """,
        )
    ended = way.endings(f"what UploadBlob by {far}", 4)
    assert sorted(each["outcome"] for each in ended) == ["complete"] * 3 + ["left"]


def test_a_push_that_is_run_again_sends_only_what_is_missing(way: Way, far: str) -> None:
    query = f"what UploadBlob by {far}"
    before = len(way.endings(query, 0))
    way.done(
        far,
        """
        import os
        from huggingface_hub import CommitOperationAdd as Add, HfApi
        api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        made = [Add(f"pushed/{n}.bin", bytes([n]) * 200_000) for n in range(3)]
        api.preupload_lfs_files(additions=made[:2], **where)
        again = [Add(f"pushed/{n}.bin", bytes([n]) * 200_000) for n in range(3)]
        api.create_commit(operations=again, commit_message="all three", **where)
        assert len(list(api.list_repo_tree(path_in_repo="pushed", **where))) == 3
        """,
    )
    assert len(way.endings(query, before + 3)) - before == 3
