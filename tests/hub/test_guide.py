"""What docs/guides/stock-clients.md shows of clients at work runs as it stands, by each way."""

import re
import textwrap
from pathlib import Path

from tests.hub.ways import Way

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "stock-clients.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DECLARED = """
[[dataset]]
name = "acme/{way}-guide"
classification = "internal"
[[model]]
name = "acme/{way}-guide"
classification = "internal"
review = "none"
"""
# What a reader of the page has already.
OF_DATASETS = """
import datasets, pandas
made, frame = datasets.Dataset.from_dict({"x": [1, 2]}), pandas.DataFrame({"a": [1, 2, 3]})
made.push_to_hub("acme/digits")
"""
OF_MODELS = """
from huggingface_hub import HfApi
from tokenizers import Tokenizer, models
from transformers import BertConfig, PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), unk_token="a")
HfApi().create_repo("acme/digit-reader")
HfApi().upload_file(path_or_fileobj=b"# Reads", path_in_repo="README.md", repo_id="acme/digit-reader")
BertConfig(hidden_size=12, num_attention_heads=2).push_to_hub("acme/digit-reader")
HfApi().create_tag("acme/digit-reader", tag="v1.0")
"""
IN_A_SHELL = """
import os, subprocess, sys
os.makedirs("data", exist_ok=True)
open("data/old.csv", "w").write("a")
path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
subprocess.run(["sh", "-ec", {lines!r}], env=dict(os.environ, PATH=path), check=True)
"""


def at_work() -> list[tuple[str, str]]:
    text = GUIDE.read_text("utf-8")
    return FENCE.findall(text[text.index("## At work") : text.index("## When something is missing")])


def test_the_page_has_what_is_run_here() -> None:
    assert [language for language, _ in at_work()] == ["python", "python", "python", ""]


def test_the_page_runs_as_it_stands(way: Way) -> None:
    way.live.declare(DECLARED.format(way=way.name))
    rows, tables, models, commands = (
        code.replace("acme/digits", f"{way.repository}-guide").replace("acme/digit-reader", f"{way.repository}-guide")
        for _, code in at_work()
    )
    given = [text.replace("acme/digits", f"{way.repository}-guide") for text in (OF_DATASETS, OF_MODELS)]
    way.done("ingest", textwrap.dedent(given[0]) + rows + tables)
    way.done("train", given[1].replace("acme/digit-reader", f"{way.repository}-guide") + models)
    way.done("ingest", IN_A_SHELL.format(lines=commands))
