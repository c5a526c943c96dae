"""What people work with, unmodified, by each way: datasets, pandas, DuckDB, transformers, the `hf` command.

Each script knows nothing of this project; its settings are what `nomoat env TOOL` says.
"""

import json

import pytest

from tests.hub.live import Live, printed
from tests.hub.ways import Way

PUBLISHER = """
[[workload]]
name = "publisher-{way}"
segment = "ingestion"
clearance = "confidential"
[[dataset]]
name = "acme/{way}-metrics"
classification = "confidential"
owner = "group:data-engineers"
files = [{{ path = "metrics.json", labels = ["metrics"], classification = "internal" }}]
"""
HF = """
    import os, subprocess, sys
    def hf(*words):
        done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "hf"), *words], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout
"""


def test_datasets_push_load_and_stream(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os, datasets
        shelf = os.environ["REPOSITORY"] + "-shelf"
        datasets.disable_progress_bars()
        made = datasets.Dataset.from_dict({"x": list(range(1000)), "y": ["a"] * 1000})
        made.push_to_hub(shelf)
        made.select(range(10)).push_to_hub(shelf, "few", split="test")
        loaded = datasets.load_dataset(shelf)
        assert loaded["train"].num_rows == 1000 and loaded["train"][7] == {"x": 7, "y": "a"}
        assert datasets.load_dataset(shelf, "few", split="test")["x"] == list(range(10))
        streamed = datasets.load_dataset(shelf, split="train", streaming=True)
        assert sum(row["x"] for row in streamed) == sum(range(1000))
        assert sorted(datasets.get_dataset_config_names(shelf)) == ["default", "few"]
        made.select(range(3)).push_to_hub(shelf, revision="trial")
        assert datasets.load_dataset(shelf, revision="trial")["train"].num_rows == 3
        assert datasets.load_dataset(shelf, split="train").num_rows == 1000
        """,
        "datasets",
    )


def test_pandas_and_duckdb_read_and_write_hf_addresses(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os, duckdb, pandas
        from huggingface_hub import HfFileSystem
        frame, folder = pandas.DataFrame({"a": [1, 2, 3]}), f"hf://datasets/{os.environ['REPOSITORY']}/frames"
        frame.to_parquet(f"{folder}/one.parquet")
        frame.to_csv(f"{folder}/one.csv", index=False)
        assert pandas.read_parquet(f"{folder}/one.parquet").equals(frame)
        assert pandas.read_csv(f"{folder}/one.csv").equals(frame)
        connection = duckdb.connect()
        connection.register_filesystem(HfFileSystem())
        connection.sql(f"copy (select 7 as a) to '{folder}/two.parquet' (format parquet)")
        total = "select sum(a) from read_parquet('{}')".format(f"{folder}/*.parquet")
        assert connection.sql(total).fetchall() == [(13,)]
        assert connection.sql(f"select count(*) from '{folder}/one.csv'").fetchall() == [(3,)]
        """,
        "pandas",
    )


def test_a_file_system_moves_copies_and_removes(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import HfFileSystem
        files, folder = HfFileSystem(), f"datasets/{os.environ['REPOSITORY']}/moved"
        large = os.urandom(2_000_000)
        with files.open(f"{folder}/large.bin", "wb") as written:
            written.write(large)
        files.pipe_file(f"{folder}/small.txt", b"small")
        files.mv(f"{folder}/large.bin", f"{folder}/deep/renamed.bin")
        files.cp(f"{folder}/small.txt", f"{folder}/copy.txt")
        found = sorted(path.removeprefix(folder + "/") for path in files.find(folder))
        assert found == ["copy.txt", "deep/renamed.bin", "small.txt"], found
        assert files.cat_file(f"{folder}/deep/renamed.bin") == large and files.cat_file(f"{folder}/copy.txt") == b"small"
        assert files.modified(f"{folder}/copy.txt") >= files.modified(f"{folder}/deep/renamed.bin")
        files.rm(folder, recursive=True)
        assert not files.exists(folder)
        """,
    )


def test_transformers_pushes_and_loads_a_configuration_and_a_tokenizer(way: Way) -> None:
    way.done(
        "train",
        """
        import os
        from huggingface_hub import create_repo, upload_file
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import AutoConfig, AutoTokenizer, BertConfig, PreTrainedTokenizerFast
        name = os.environ["REPOSITORY"]
        create_repo(name, exist_ok=True)
        upload_file(path_or_fileobj=b"---\\nlicense: mit\\n---\\n# Reads digits\\n", path_in_repo="README.md", repo_id=name)
        words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").push_to_hub(name)
        BertConfig(hidden_size=12, num_attention_heads=2).push_to_hub(name)
        assert AutoConfig.from_pretrained(name).hidden_size == 12
        assert AutoTokenizer.from_pretrained(name)("a b c").input_ids == [0, 1, 2]
        """,
        "transformers",
    )


def test_the_hf_command_uploads_downloads_names_and_deletes(way: Way) -> None:
    way.done(
        "ingest",
        HF
        + """
    assert "ingest" in hf("auth", "whoami")
    os.makedirs("cli/deep", exist_ok=True)
    open("cli/a.txt", "w").write("a")
    open("cli/deep/b.bin", "wb").write(os.urandom(300_000))
    hf("upload", os.environ["REPOSITORY"], "cli", "cli", "--repo-type", "dataset")
    hf("repos", "branch", "create", os.environ["REPOSITORY"], "cli/next", "--type", "dataset")
    hf("upload", os.environ["REPOSITORY"], "cli/a.txt", "cli/c.txt", "--repo-type", "dataset", "--revision", "cli/next")
    hf("repos", "tag", "create", os.environ["REPOSITORY"], "cli-1", "--type", "dataset", "--revision", "cli/next", "-m", "first")
    assert "cli-1" in hf("repos", "tag", "list", os.environ["REPOSITORY"], "--type", "dataset")
    hf("download", os.environ["REPOSITORY"], "--repo-type", "dataset", "--include", "cli/*", "--revision", "cli-1", "--local-dir", "got")
    assert sorted(os.listdir("got/cli")) == ["a.txt", "c.txt", "deep"]
    hf("repos", "delete-files", os.environ["REPOSITORY"], "cli/a.txt", "cli/deep/", "--type", "dataset", "--revision", "cli/next")
    hf("repos", "tag", "delete", os.environ["REPOSITORY"], "cli-1", "--type", "dataset", "-y")
    hf("repos", "branch", "delete", os.environ["REPOSITORY"], "cli/next", "--type", "dataset")
    from huggingface_hub import HfApi
    refs = HfApi().list_repo_refs(os.environ["REPOSITORY"], repo_type="dataset")
    assert "cli/next" not in {b.name for b in refs.branches} and refs.tags == []
    assert hf("datasets", "info", os.environ["REPOSITORY"])
    assert "cli/a.txt" in hf("datasets", "list", os.environ["REPOSITORY"], "-R")
""",
    )


def test_the_hf_command_prints_why_it_was_refused(way: Way) -> None:
    """Of the code by which programs are told, it says "requires approval" and no more."""
    way.done(
        "ingest",
        "import os; from huggingface_hub import upload_file; "
        "upload_file(path_or_fileobj=b'1', path_in_repo='refused-to.csv', repo_id=os.environ['REPOSITORY'], repo_type='dataset')",
    )
    said = printed(
        way.done(
            "scientist",
            """
            import json, os, subprocess, sys
            hf, name = os.path.join(os.path.dirname(sys.executable), "hf"), os.environ["REPOSITORY"]
            open("mine.txt", "w").close()
            said = []
            for words in (
                ["download", name, "refused-to.csv", "--repo-type", "dataset"],
                ["upload", name, "mine.txt", "mine.txt", "--repo-type", "dataset"],
                ["repos", "create", name, "--type", "dataset"],
                ["repos", "branch", "create", name, "mine", "--type", "dataset"],
            ):
                done = subprocess.run([hf, *words], capture_output=True, text=True)
                said.append((words[0], done.returncode, done.stderr))
            print(json.dumps(said))
            """,
        )
    )
    assert isinstance(said, list)
    for words, code, told in said:
        assert code != 0, words
        assert "refused: scientist may not " in told, (words, told)
        assert "(record " in told, (words, told)


def test_branches_tags_and_history_as_huggingface_hub_knows_them(way: Way) -> None:
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError
        api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        base = api.upload_file(path_or_fileobj=b"one", path_in_repo="named.txt", commit_message="one", **where).oid
        api.create_branch(branch="feature/x", **where)
        api.create_branch(branch="feature/x", exist_ok=True, **where)
        api.create_tag(tag="v1.0", tag_message="first", **where)
        api.upload_file(path_or_fileobj=b"two", path_in_repo="named.txt", revision="feature/x", commit_message="two", **where)
        read = lambda revision: open(hf_hub_download(filename="named.txt", revision=revision, **where)).read()
        assert (read("feature/x"), read("v1.0"), read("main"), read(base)) == ("two", "one", "one", "one")
        for number in range(60):
            api.upload_file(path_or_fileobj=str(number).encode(), path_in_repo="n.txt", revision="feature/x", **where)
        commits = api.list_repo_commits(revision="feature/x", formatted=True, **where)
        assert [c.title for c in commits].index("two") == 60 and commits[61].commit_id == base
        assert commits[0].authors == ["ingest"] and len({c.commit_id for c in commits}) == len(commits)
        (told,) = api.get_paths_info(paths="named.txt", revision="feature/x", expand=True, **where)
        assert told.last_commit.oid == commits[60].commit_id
        pages = list(api.list_repo_tree(revision="feature/x", expand=True, recursive=True, **where))
        assert all(entry.last_commit for entry in pages if hasattr(entry, "size"))
        (sized,) = [s for s in api.dataset_info(os.environ["REPOSITORY"], files_metadata=True).siblings if s.rfilename == "named.txt"]
        assert sized.size == 3 and sized.blob_id
        api.auth_check(**where)
        refused = {
            "main": lambda: api.delete_branch(branch="main", **where),
            "gone": lambda: api.delete_branch(branch="nothing", **where),
            "untagged": lambda: api.delete_tag(tag="nothing", **where),
            "taken": lambda: api.create_branch(branch="v1.0", **where),
            "reserved": lambda: api.create_tag(tag="refs/pr/1", **where),
            "like a commit": lambda: api.create_branch(branch=base, **where),
            "nowhere": lambda: api.create_branch(branch="y", revision="nothing", **where),
            "history": lambda: api.list_repo_commits(revision="nothing", **where),
            "settings": lambda: api.update_repo_settings(private=False, **where),
            "moving": lambda: api.move_repo(os.environ["REPOSITORY"], "acme/elsewhere", repo_type="dataset"),
        }
        kinds = {}
        for name, attempt in refused.items():
            try:
                attempt()
            except HfHubHTTPError as error:
                kinds[name] = type(error), error.response.status_code
        assert kinds == {
            "main": (HfHubHTTPError, 409),
            "gone": (RevisionNotFoundError, 404),
            "untagged": (RevisionNotFoundError, 404),
            "taken": (HfHubHTTPError, 409),
            "reserved": (BadRequestError, 400),
            "like a commit": (BadRequestError, 400),
            "nowhere": (RevisionNotFoundError, 404),
            "history": (RevisionNotFoundError, 404),
            "settings": (BadRequestError, 400),
            "moving": (BadRequestError, 400),
        }, kinds
        api.delete_tag(tag="v1.0", **where)
        api.delete_branch(branch="feature/x", **where)
        assert [b.name for b in api.list_repo_refs(**where).branches if b.name == "feature/x"] == []
        assert open(hf_hub_download(filename="named.txt", revision=commits[60].commit_id, **where)).read() == "two"
        """,
    )


@pytest.fixture(scope="module")
def publisher(taken: Way) -> str:
    """A workload that has read nothing: metrics of who read confidential rows would be confidential themselves."""
    name = f"publisher-{taken.name}"
    taken.live.declare(PUBLISHER.format(way=taken.name))
    taken.live.join(f"workload:{name}")
    return name


def test_the_snapshot_of_a_scientist_brings_the_metrics_and_is_refused_nothing(way: Way, publisher: str) -> None:
    repository = f"{way.repository}-metrics"
    way.done(
        publisher,
        """
        import os
        from huggingface_hub import CommitOperationAdd as Add, HfApi
        HfApi().create_repo(os.environ["REPOSITORY"], repo_type="dataset")
        files = [Add(path, b"{}") for path in ("metrics.json", "raw/rows.csv")]
        HfApi().create_commit(os.environ["REPOSITORY"], files, commit_message="raw/rows.csv", repo_type="dataset")
        """,
        REPOSITORY=repository,
    )
    seen = way.done(
        "scientist",
        """
        import json, os
        from huggingface_hub import HfApi, HfFileSystem, snapshot_download
        api, where = HfApi(), dict(repo_id=os.environ["REPOSITORY"], repo_type="dataset")
        got = snapshot_download(**where)
        print(json.dumps({
            "snapshot": sorted(os.path.relpath(os.path.join(at, name), got) for at, _, names in os.walk(got) for name in names),
            "tree": [e.path for e in api.list_repo_tree(recursive=True, **where)],
            "paths": [e.path for e in api.get_paths_info(paths=["raw", "raw/rows.csv", "metrics.json"], **where)],
            "siblings": [s.rfilename for s in api.dataset_info(os.environ["REPOSITORY"], files_metadata=True).siblings],
            "hf": HfFileSystem().find("datasets/" + os.environ["REPOSITORY"]),
        }))
        """,
        REPOSITORY=repository,
    )
    told = json.loads(seen.splitlines()[-1])
    assert set(told["snapshot"]) == set(told["tree"]) == set(told["siblings"])
    assert told["tree"] == ["metrics.json"], told
    assert told["paths"] == ["metrics.json"]
    assert {path.removeprefix(f"datasets/{repository}/") for path in told["hf"]} <= set(told["tree"])
    (listed, *_) = way.live.records("what ListFiles by scientist", limit=1)
    withheld = listed["obligations"][0]["withhold"]
    assert {"classification": "confidential", "labels": []} in withheld
    assert "raw" not in json.dumps(listed)


def test_a_range_is_of_the_content_that_it_was_asked_for(live: Live) -> None:
    """RFC 9110, section 13.1.5: with any other validator the whole content comes."""
    path = "/datasets/acme/digits/resolve/main/ranged.bin"
    live.done(
        "ingest",
        """
        from huggingface_hub import HfApi
        HfApi().upload_file(path_or_fileobj=bytes(range(256)) * 800, path_in_repo="ranged.bin",
                            repo_id="acme/digits", repo_type="dataset")
        """,
    )
    whole = live.raw("ingest", "GET", path)
    tag = whole.header("etag")
    rest = live.raw("ingest", "GET", path, {"Range": "bytes=100000-", "If-Range": tag})
    assert (rest.status, rest.body) == (206, whole.body[100_000:])
    for other in (f'"{"0" * 64}"', f"W/{tag}", tag.strip('"'), "Thu, 26 Nov 2026 01:00:00 GMT"):
        again = live.raw("ingest", "GET", path, {"Range": "bytes=100000-", "If-Range": other})
        assert (again.status, again.body) == (200, whole.body), other


def test_a_card_is_validated_before_anything_is_uploaded(live: Live) -> None:
    live.done(
        "ingest",
        """
        import pathlib, warnings
        import pytest
        from huggingface_hub import CommitOperationAdd as Add, HfApi
        api, where = HfApi(), dict(repo_id="acme/digits", repo_type="dataset")
        def commit(card):
            addition = Add(path_in_repo="README.md", path_or_fileobj=card.encode())
            return api.create_commit(operations=[addition], commit_message="card", **where)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            good = commit("---\\nlicense: mit\\ntags: [digits]\\n---\\n# Digits\\n")
        with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
            bare = commit("# Digits\\n")
        for card, why in {
            "---\\ntitle: a: b\\n---\\n": "- line 2, column 9: mapping values are not allowed here",
            "---\\nlicense: x\\nlicense: y\\n---\\n": "- line 3, column 1: duplicate key 'license'",
        }.items():
            with pytest.raises(ValueError, match="Invalid metadata in README.md") as refused:
                commit(card)
            assert why in str(refused.value), refused.value
        folder = pathlib.Path("carded"); folder.mkdir()
        (folder / "README.md").write_text("---\\n- no mapping\\n---\\n")
        with pytest.raises(ValueError, match="not a list"):
            api.upload_folder(folder_path=folder, **where)
        assert api.dataset_info("acme/digits").sha == bare.oid != good.oid
        """,
    )


def test_a_card_is_pushed_and_updated_by_functions_that_validate_it_as_nobody(way: Way) -> None:
    """`RepoCard.validate`, and so `push_to_hub` and `metadata_update`, sends no credential (huggingface_hub 2.4)."""
    way.done(
        "ingest",
        """
        import os
        from huggingface_hub import DatasetCard, metadata_update
        repository = os.environ["REPOSITORY"]
        card = DatasetCard("---\\nlicense: mit\\n---\\n# Digits\\n")
        card.push_to_hub(repository)
        metadata_update(repository, {"tags": ["x"]}, repo_type="dataset")
        loaded = DatasetCard.load(repository, repo_type="dataset").data
        assert (loaded.license, loaded.tags) == ("mit", ["x"])
        """,
    )


def test_stock_clients_list_what_there_is_for_them(way: Way) -> None:
    way.done(
        "ingest",
        HF
        + """
    from huggingface_hub import HfApi
    name, listed = os.environ["REPOSITORY"], list(HfApi().list_datasets(author="acme", sort="last_modified"))
    assert name in [each.id for each in listed] and all(each.private and each.sha for each in listed)
    assert [each.id for each in HfApi().list_datasets(search=name, limit=1)] == [name]
    assert [each.id for each in HfApi().list_models()] == []  # an ingestion job has no business with models
    os.environ["COLUMNS"] = "400"
    assert name in hf("datasets", "list", "--author", "acme") and "acme/" not in hf("models", "list")
    """,
    )
