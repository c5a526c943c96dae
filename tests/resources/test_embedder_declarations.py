"""Embedders as they are declared: strictly, and back again."""

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.retrieval import WORDLLAMA, EmbeddingEndpoint, ModelDirectory
from nomoat.resources.directory.document import dump, load, merge, parse_declarations

DIGEST = "0123456789abcdef" * 4
BASE = """
[[workload]]
name = "w"
[[model]]
name = "acme/m"
[[upstream]]
name = "u"
url = "https://u.example/v1"
workload = "w"
[[upstream]]
name = "other"
url = "https://other.example/v1"
[[upstream]]
name = "anthropic"
url = "https://a.example/v1"
api = "anthropic"
[[endpoint]]
name = "one"
served = [{ upstream = "u", model = "m" }, { upstream = "other", model = "m" }]
[[endpoint]]
name = "two"
served = [{ upstream = "u", model = "m" }, { upstream = "other", model = "n" }]
[[endpoint]]
name = "messages"
served = [{ upstream = "anthropic", model = "m" }]
[[endpoint]]
name = "loaded"
served = [{ upstream = "u", model = "m", weights = "acme/m" }]
[[index]]
name = "i"
"""


def declared(text: str) -> Directory:
    return merge(Directory(), parse_declarations(BASE + text))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", WORDLLAMA),
        ('embedder = "wordllama"', WORDLLAMA),
        ('embedder = "none"', "none"),
        (f'embedder = {{ directory = "/srv/m", sha256 = "{DIGEST}" }}', ModelDirectory("/srv/m", DIGEST)),
        ('embedder = { endpoint = "one", dimensions = 384 }', EmbeddingEndpoint("one", 384)),
    ],
)
def test_an_embedder_is_as_it_is_declared(said: str, meant: object) -> None:
    directory = declared(said)
    assert directory.indexes["i"].embedder == meant
    assert load(dump(directory), directory.generation) == directory


@pytest.mark.parametrize(
    ("embedder", "told"),
    [
        ('"directory:/srv/m"', "or a table with a directory or an endpoint"),
        ("5", "embedder is a text"),
        ("{}", "dimensions"),
        ('{ directory = "/srv/m" }', "digest"),
        (f'{{ directory = "srv/m", sha256 = "{DIGEST}" }}', "from / on"),
        (f'{{ directory = "/srv/\\u0007", sha256 = "{DIGEST}" }}', "from / on"),
        (f'{{ directory = "/srv/m", sha256 = "{DIGEST.upper()}" }}', "digest"),
        (f'{{ directory = "/srv/m", sha256 = "{DIGEST}", endpoint = "one" }}', "no field"),
        ('{ endpoint = "one" }', "dimensions"),
        ('{ endpoint = "one", dimensions = 0 }', "dimensions"),
        ('{ endpoint = "one", dimensions = true }', "dimensions"),
        ('{ endpoint = "one", dimensions = 8193 }', "dimensions"),
        ('{ endpoint = "nobody", dimensions = 8 }', "no [[endpoint]]"),
        ('{ endpoint = "two", dimensions = 8 }', "several models"),
        ('{ endpoint = "messages", dimensions = 8 }', "makes no vectors"),
        ('{ endpoint = "loaded", dimensions = 8 }', "which weights answer"),
    ],
)
def test_an_embedder_that_could_not_be_used_is_refused(embedder: str, told: str) -> None:
    with pytest.raises(Malformed, match=r".*") as refused:
        declared(f"embedder = {embedder}")
    assert told in str(refused.value)


def test_an_endpoint_that_an_index_needs_is_not_removed() -> None:
    directory = declared('embedder = { endpoint = "one", dimensions = 8 }')
    with pytest.raises(Malformed, match="no \\[\\[endpoint"):
        merge(directory, parse_declarations('[[endpoint]]\nname = "one"\nremove = true\n'))
