"""huggingface_hub, unmodified, with exactly what `nomoat env hub` sets, by each way: scripts that know nothing of this project."""

import json

import pytest

from tests.hub.live import Live, printed
from tests.hub.ways import Way

MIB = 1 << 20


def test_a_folder_goes_up_and_comes_down_as_it_was(way: Way) -> None:
    way.done(
        "ingest",
        """
        import filecmp, os, pathlib
        from huggingface_hub import HfApi, hf_hub_download, snapshot_download
        folder = pathlib.Path("stock"); (folder / "deep" / "er").mkdir(parents=True)
        (folder / "README.md").write_text("---\\nlicense: mit\\n---\\n# Digits\\n")
        (folder / "deep" / "er" / "large.bin").write_bytes(os.urandom(11_000_000))
        (folder / "deep" / "table.parquet").write_bytes(os.urandom(50_000))
        (folder / "deep" / "rows.csv").write_text("a,b\\n" * 1000)
        (folder / "deep" / "ümlaut & space.txt").write_text("x")
        (folder / "empty.txt").touch()
        api = HfApi()
        first = api.upload_folder(folder_path=folder, path_in_repo="stock", repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        again = api.upload_folder(folder_path=folder, path_in_repo="stock", repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        assert again.oid == first.oid, "nothing changed"
        (folder / "deep" / "rows.csv").write_text("new")
        second = api.upload_file(path_or_fileobj=b"new", path_in_repo="stock/deep/rows.csv", repo_id=os.environ["REPOSITORY"],
                                 repo_type="dataset", parent_commit=first.oid)
        assert second.oid != first.oid
        got = pathlib.Path(snapshot_download(os.environ["REPOSITORY"], repo_type="dataset", allow_patterns="stock/*"))
        assert got.name == second.oid
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert len(names) == 6
        assert filecmp.cmpfiles(folder, got / "stock", names, shallow=False) == (names, [], [])
        old = hf_hub_download(os.environ["REPOSITORY"], "stock/deep/rows.csv", repo_type="dataset", revision=first.oid)
        assert open(old).read() == "a,b\\n" * 1000
        assert open(hf_hub_download(os.environ["REPOSITORY"], "stock/deep/rows.csv", repo_type="dataset")).read() == "new"
        """,
    )


def test_listings_come_in_pages_of_one_commit(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import CommitOperationAdd as Add, HfApi
        api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        for start in (0, 1200):
            files = [Add(f"pages/{n % 7}/{n}.txt", b"") for n in range(start, start + 1200)]
            api.create_commit(operations=files, commit_message="many", **where)
        every = [e.path for e in api.list_repo_tree(path_in_repo="pages", recursive=True, **where)]
        assert len(every) == len(set(every)) == 2400 + 7
        assert sorted(e.path for e in api.list_repo_tree(path_in_repo="pages", **where)) == [f"pages/{n}" for n in range(7)]
        assert len([name for name in api.list_repo_files(**where) if name.startswith("pages/")]) == 2400
        found = {i.path for i in api.get_paths_info(paths=["pages/1/1.txt", "pages/1", "pages/no"], **where)}
        assert found == {"pages/1/1.txt", "pages/1"}
        for n in range(7):
            api.delete_folder(f"pages/{n}", **where)
        assert not api.file_exists(filename="pages/1/1.txt", **where)
        """,
    )


def test_information_removal_copies_and_conflicts(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import CommitOperationCopy as Copy, HfApi, HfFileSystem
        from huggingface_hub.errors import HfHubHTTPError
        api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        base = api.upload_file(path_or_fileobj=b"0123456789" * 300_000, path_in_repo="info/a.bin", **where).oid
        info = api.dataset_info(os.environ["REPOSITORY"])
        assert info.sha == base and info.private and "info/a.bin" in {s.rfilename for s in info.siblings}
        assert [(b.name, b.target_commit) for b in api.list_repo_refs(**where).branches] == [("main", base)]
        assert api.repo_exists(**where) and not api.repo_exists("acme/nothing", repo_type="dataset")
        api.create_commit(operations=[Copy("info/a.bin", "info/b.bin")], commit_message="copy", **where)
        files = HfFileSystem()
        with files.open(f"datasets/{os.environ['REPOSITORY']}/info/b.bin") as part:
            part.seek(2_000_003)
            assert part.read(9) == b"345678901"
        assert sorted(files.glob(f"datasets/{os.environ['REPOSITORY']}/info/*.bin"))[0].endswith("info/a.bin")
        try:
            api.upload_file(path_or_fileobj=b"x", path_in_repo="info/c.txt", parent_commit=base, **where)
        except HfHubHTTPError as error:
            assert error.response.status_code == 409 and "look at what is new" in str(error), error
        else:
            raise AssertionError("a stale parent was taken")
        api.delete_file("info/a.bin", **where)
        assert api.create_repo(os.environ["REPOSITORY"], repo_type="dataset", exist_ok=True).repo_id == os.environ["REPOSITORY"]
        """,
    )


def test_a_model_is_published_and_a_gitignore_obeyed(way: Way) -> None:
    way.done(
        "train",
        """
        import os, pathlib, numpy
        from huggingface_hub import HfApi
        from safetensors.numpy import save_file
        folder = pathlib.Path("model"); (folder / "cache").mkdir(parents=True)
        (folder / ".gitignore").write_text("cache/\\n*.tmp\\n")
        for name in ("config.json", "cache/x.json", "y.tmp"):
            (folder / name).write_text("{}")
        save_file({"w": numpy.zeros(3)}, folder / "model.safetensors")
        HfApi().create_repo(os.environ["REPOSITORY"] + "-reader")
        HfApi().upload_folder(folder_path=folder, repo_id=os.environ["REPOSITORY"] + "-reader")
        info = HfApi().model_info(os.environ["REPOSITORY"] + "-reader")
        assert {s.rfilename for s in info.siblings} == {".gitignore", "config.json", "model.safetensors", "model.sig"}
        """,
    )


FAILURES = """
    import json, os
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    names = os.environ["REPOSITORY"], "acme/secrets", "acme/nothing"
    digits, secrets, nothing = (dict(repo_id=name, repo_type="dataset") for name in names)
    attempts = {
        "read": lambda: hf_hub_download(filename="refused.csv", **digits),
        "write": lambda: HfApi().upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", **digits),
        "create": lambda: HfApi().create_repo(**digits),
        "hidden": lambda: hf_hub_download(filename="data.csv", **secrets),
        "hidden snapshot": lambda: snapshot_download(**secrets),
        "missing": lambda: hf_hub_download(filename="data.csv", **nothing),
        "revision": lambda: hf_hub_download(filename="metrics.json", revision="nothing", **digits),
        "entry": lambda: hf_hub_download(filename="metrics.json/x", **digits),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:
            found[name] = type(error).__name__, str(error)
    print(json.dumps(found))
"""


def test_who_is_refused_is_told_why_in_the_client_s_own_exceptions(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import HfApi
        for name in ("refused.csv", "metrics.json"):
            HfApi().upload_file(path_or_fileobj=b"{}", path_in_repo=name, repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        """,
    )
    told = printed(way.done("scientist", FAILURES))
    assert isinstance(told, dict)
    kinds = {name: kind for name, (kind, _) in told.items()}
    assert kinds == {
        "read": "GatedRepoError",
        "write": "GatedRepoError",
        "create": "GatedRepoError",
        "hidden": "RepositoryNotFoundError",
        "hidden snapshot": "RepositoryNotFoundError",
        "missing": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "entry": "GatedRepoError",  # a path that no rule opens to scientists, there or not
    }
    for name, action in (("read", "DescribeFile"), ("write", "PlanUpload"), ("create", "CreateRepository")):
        assert f"refused: scientist may not {action} {way.repository}" in told[name][1]
        assert "(record " in told[name][1]
    assert told["hidden"][1].replace("secrets", "nothing") == told["missing"][1]


@pytest.mark.parametrize("token", ["", "not-a-token", "eyJhbGciOiJub25lIn0.e30."])
def test_a_bad_token_is_said_to_be_one(live: Live, token: str) -> None:
    path = live.root / f"token-{len(token)}"
    path.write_text(token)
    found = live.stock(
        "scientist",
        "import huggingface_hub as hub; hub.snapshot_download('acme/digits', repo_type='dataset')",
        HF_TOKEN_PATH=str(path),
        HF_HUB_CACHE=str(live.root / "elsewhere"),  # an empty one: what is cached would answer
    )
    assert found.returncode != 0
    expected = "Invalid credentials in Authorization header" if token else "no credential was presented"
    assert expected in found.stderr


def test_with_xet_an_upload_ends_at_an_address_that_says_so_and_is_recorded(live: Live) -> None:
    script = """
        import os
        from huggingface_hub import upload_file
        upload_file(path_or_fileobj=os.urandom(100_000), path_in_repo="xet.bin", repo_id="acme/digits", repo_type="dataset")
        """
    found = live.stock("ingest", script, HF_HUB_DISABLE_XET="0")
    assert found.returncode != 0
    assert "xet-write-token" in found.stderr
    answer = live.raw("ingest", "GET", "/api/datasets/acme/digits/xet-write-token/main")
    assert answer.status == 404
    assert "HF_HUB_DISABLE_XET=1" in json.loads(answer.text)["error"]
    live.done("ingest", script)


def test_memory_stays_flat_while_a_large_file_goes_up_and_down(live: Live) -> None:
    live.done("ingest", TRANSFER.format(size=4 * MIB))
    before = live.resident
    live.done("ingest", TRANSFER.format(size=128 * MIB))
    assert live.resident - before <= 64 * MIB


TRANSFER = """
    import os
    from huggingface_hub import hf_hub_download, upload_file
    part, size = os.urandom(1 << 20), {size}
    with open("large", "wb") as file:
        for _ in range(size >> 20):
            file.write(part)
        file.write(os.urandom(16))
    where = dict(repo_id="acme/digits", repo_type="dataset")
    upload_file(path_or_fileobj="large", path_in_repo="large/{size}.bin", **where)
    got = hf_hub_download(filename="large/{size}.bin", **where)
    assert os.path.getsize(got) == size + 16
    with open(got, "rb") as one, open("large", "rb") as other:
        while chunk := one.read(1 << 20):
            assert chunk == other.read(1 << 20)
    os.remove("large")
"""
