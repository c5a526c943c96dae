"""What was made to pass for clean is found, and what looks like it and is not stays clean."""

import contextlib
import io
import json
import pickle
import random
from collections.abc import Callable

import pytest
from jinja2 import Environment

from nomoat.core.verdict import Verdict
from nomoat.inspection.inspect import inspect
from nomoat.inspection.naming import worse_by_name
from tests.inspection.evasions import EVASIONS, REACHES, Evasion


@pytest.mark.parametrize("evasion", EVASIONS.values(), ids=EVASIONS.keys())
def test_an_evasion_is_found(evasion: Evasion) -> None:
    report = worse_by_name(evasion.path, inspect(io.BytesIO(evasion.data), len(evasion.data)))
    assert evasion.rule in {finding.rule for finding in report.findings}, report
    assert report.verdict.severity >= evasion.verdict.severity, report


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("page.html", '<p><a href="?a=1&amp;b=2">the only one = 1</a></p>'),
        ("picture.svg", '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg/>'),
        ("page.xhtml", '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html/>'),
        ("MLmodel.txt", "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"),
        ("model_index.json", '{"_class_name": "P", "_diffusers_version": "1", "s": ["stable_diffusion", "C"], "v": ["diffusers", "A"], "n": [null, null]}'),
        ("modules.json", '[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]'),
        ("config.json", '{"attn_implementation": "flash_attention_2", "__class__": "x"}'),
        ("rows.json", '{"text": "{{ rows[i].name }}"}'),
        ("notes.md", "Use {{ matrix[os] }} and {{ items(x) }}.\n"),
        ("prompt.jinja", "Answer {{ question }}\n"),
        ("tokenizer_config.json", json.dumps({"chat_template": "{% for m in messages %}{% set i = loop.index0 + 1 %}{{ messages[i - 1]['role'] ~ messages[i].content[1:] }}{% endfor %}"})),
    ],
)  # fmt: skip
def test_what_looks_like_one_is_clean(path: str, text: str) -> None:
    data = text.encode()
    assert worse_by_name(path, inspect(io.BytesIO(data), len(data))).verdict is Verdict.CLEAN


def test_a_composed_name_and_a_named_value_reach_a_function_where_nothing_is_sandboxed() -> None:
    """Why composed names matter: with them alone, a template calls what it was never given."""
    text = "{{ dict([['title', ''['__cl' ~ 'ass__']['__ba' ~ 'se__']['__subcl' ~ 'asses__']]]).title() | length }}"
    assert int(Environment(autoescape=True).from_string(text).render()) > 100
    assert inspect(io.BytesIO(text.encode()), len(text)).verdict is not Verdict.CLEAN


class _Recording(pickle.Unpickler):
    """Python's own unpickler, of which what it reaches for is noted."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.reached: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str, /) -> object:
        self.reached.add((module, name))
        return (lambda *_: ()) if module == "os" else super().find_class(module, name)


_NUMBERS = ["0", "1", "01", "-1", "0x10", "0o7", "0b1", "1_0", " 1", "1 ", "+1", "007", "1L", "\t1", "1\r", "0x_1"]
_QUOTED = ["'a'", "'a'b'", "'\\x41'b'", '"a"', " 'a' ", "'\\z'", "'\\'", "''", "'\\x4'", "'\\400'", "''''", "'a' "]
_FRACTIONS = ["1.5", "inf", "1_0.0", " 1", "1e400", "-.5", "1."]
_UNQUOTED = ["a", "\\u0041", "\\u00", "\\x41", "\\", "\\ud800"]
_GLOBALS = ["str", "tuple", "list", "int", "dict", "bytearray", "slice", "object", "set", "float", "range", "bytes"]


def _operation(random_: random.Random) -> bytes:
    named = f"c__builtin__\n{random_.choice(_GLOBALS)}\n"
    made: list[Callable[[], str]] = [
        lambda: f"I{random_.choice(_NUMBERS)}\n",
        lambda: f"L{random_.choice(_NUMBERS)}\n",
        lambda: f"F{random_.choice(_FRACTIONS)}\n",
        lambda: f"S{random_.choice(_QUOTED)}\n",
        lambda: f"V{random_.choice(_UNQUOTED)}\n",
        lambda: random_.choice("N(tld]})012asebuRo"),
        lambda: random_.choice("pg") + random_.choice(_NUMBERS) + "\n",
        lambda: named,
        lambda: named + random_.choice(["(tR", "(S'x'\ntR", "((S'ab'\nltR", ")R", "(I1\ntR"]),
        lambda: "K" + random_.choice("abc(0."),
        lambda: "U\nabc(0.abc(",
    ]
    return random_.choice(made)().encode()


def test_what_python_loads_is_followed_as_python_loads_it() -> None:
    """A text that reaches for a bad global in Python's own unpickler is never clean, however it begins."""
    random_ = random.Random(20260731)  # noqa: S311 - the same every time
    reached = 0
    for _ in range(20_000):
        data = b"".join(_operation(random_) for _ in range(random_.randrange(1, 9))) + REACHES
        recording = _Recording(data)
        with contextlib.suppress(Exception):  # most are no pickles
            recording.load()
        if ("os", "system") in recording.reached:
            reached += 1
            assert inspect(io.BytesIO(data), len(data)).verdict is not Verdict.CLEAN, data
    assert reached > 1000
