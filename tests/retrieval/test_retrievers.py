"""LangChain and LlamaIndex, as they are installed, over what a profile may read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import nomoat
from nomoat.core.errors import Unavailable
from tests.retrieval.conftest import Library

INSTALLED = Path(sys.prefix) / "retrievers"
SECRET = {"name": "plan.md", "classification": "confidential", "passages": ["the quoll budget is five million"]}
OPEN = {"name": "open.md", "passages": ["the quoll is a marsupial"], "attributes": {"year": 2026, "document": "mine"}}
LANGCHAIN = """
import asyncio
import nomoat
from nomoat.core.errors import NotFound

with nomoat.connect() as connection:
    retriever = connection.langchain_retriever("handbook", limit=5)
    found = retriever.invoke("quoll")
    assert asyncio.run(retriever.ainvoke("quoll")) == found
    assert [len(each) for each in retriever.batch(["quoll"] * 8)] == [len(found)] * 8
    for each in found:
        print(each.metadata["document"], each.metadata["passage"], each.metadata.get("year"), each.page_content)
    try:
        connection.langchain_retriever("nothing").invoke("quoll")
    except NotFound as error:
        print(error)
"""
LLAMAINDEX = """
import asyncio
import nomoat
from nomoat.core.errors import NotFound

with nomoat.connect() as connection:
    retriever = connection.llamaindex_retriever("handbook", limit=5)
    found = retriever.retrieve("quoll")
    assert [each.node.text for each in asyncio.run(retriever.aretrieve("quoll"))] == [each.node.text for each in found]
    for each in found:
        print(each.node.metadata["document"], each.node.metadata["passage"], each.node.metadata.get("year"), each.node.text)
    assert all(each.score > 0 for each in found)
    try:
        connection.llamaindex_retriever("nothing").retrieve("quoll")
    except NotFound as error:
        print(error)
"""


def said(library: Library, who: str, script: str) -> str:
    """What a script prints, in a process that has these libraries."""
    home = {"NOMOAT_HOME": str(library.live.root / "home"), "NOMOAT_PROFILE": library.live.profiles[who].name}
    settings = {**os.environ, **home, "PYTHONPATH": str(INSTALLED), "NLTK_DATA": str(library.live.root)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=settings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not (INSTALLED / ".ready").exists(), reason="make test installs LangChain and LlamaIndex")
@pytest.mark.parametrize("script", [LANGCHAIN, LLAMAINDEX], ids=["langchain", "llamaindex"])
def test_a_retriever_finds_what_its_profile_may_read(library: Library, script: str) -> None:
    library.put(SECRET, OPEN)
    found = said(library, "ada", script)
    assert "plan.md 0 None the quoll budget is five million" in found
    assert "open.md 0 2026 the quoll is a marsupial" in found
    assert "there is no such index" in found
    hidden = said(library, "bob", script)
    assert "plan.md" not in hidden
    assert "open.md 0 2026" in hidden


@pytest.mark.parametrize("library_of", ["langchain", "llamaindex"])
def test_without_its_library_a_retriever_says_what_to_install(
    library: Library, monkeypatch: pytest.MonkeyPatch, library_of: str
) -> None:
    monkeypatch.setenv("NOMOAT_HOME", str(library.live.root / "home"))
    with nomoat.connect(library.live.profiles["bob"].name) as connection:
        make = connection.langchain_retriever if library_of == "langchain" else connection.llamaindex_retriever
        with pytest.raises(Unavailable, match="pip install"):
            make("handbook")
