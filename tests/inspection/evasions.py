"""Hostile artifacts that once passed for clean: each with its path, the verdict it must get at least, and the rule.

Each is harmless here: what it would reach for is a name, and nothing of it is loaded but by the tests that say so.
"""

import json
import struct
from typing import Final, NamedTuple

from nomoat.core.verdict import Verdict
from tests.inspection.building import checkpoint, zipped
from tests.inspection.hostile import onnx_of

CODE, QUARANTINED = Verdict.CONTAINS_CODE, Verdict.QUARANTINED
UNSCANNABLE, REFUSED = Verdict.UNSCANNABLE, Verdict.REFUSED
REACHES: Final = b"cos\nsystem\n(S'true'\ntR."


class Evasion(NamedTuple):
    """What must be found in some bytes under some path."""

    path: str
    data: bytes
    verdict: Verdict
    rule: str


def _json(path: str, value: object, rule: str, verdict: Verdict = CODE) -> Evasion:
    return Evasion(path, json.dumps(value).encode(), verdict, rule)


def _pickle(before: bytes) -> Evasion:
    return Evasion("model.pkl", before + REACHES, REFUSED, "pickle.dangerous-global")


def _template(text: str, rule: str = "template.composed", verdict: Verdict = CODE) -> Evasion:
    return _json("tokenizer_config.json", {"chat_template": "{% if x %}{% endif %}" + text}, rule, verdict)


def _markup(text: str, path: str = "picture.svg") -> Evasion:
    return Evasion(path, text.encode(), CODE, "html.script")


def _keras(module: str | None, name: str, config: object, rule: str = "keras.foreign-module") -> Evasion:
    layer = {"module": module, "class_name": name, "config": config, "registered_name": "function"}
    model = {"module": "keras", "class_name": "Functional", "config": {"layers": [layer]}, "registered_name": None}
    return _json("config.json", model, rule)


def _two_directories() -> bytes:
    """A checkpoint whose end has two directories of zip64: Python takes the near one, others the one that is said."""
    data = bytearray(checkpoint(1))
    end = data.rindex(b"PK\x05\x06")
    count, size, begin = struct.unpack_from("<HLL", data, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, begin)
    elsewhere = struct.pack("<4sLQL", b"PK\x06\x07", 0, 8, 1)  # in a storage: numbers to who reads it with Python
    return bytes(data[:end]) + record + elsewhere + data[end:]


def _end_says(form: str, place: int, value: int) -> bytes:
    data = bytearray(zipped({"a.txt": b"one", "b.txt": b"two"}))
    struct.pack_into(form, data, data.rindex(b"PK\x05\x06") + place, value)
    return bytes(data)


def _padded_json(text: str) -> bytes:
    return text.replace("PADDING", " " * (65 << 20)).encode()


EVASIONS: Final[dict[str, Evasion]] = {
    # The C unpickler reads more than Python's own literals: a text that was no pickle to us, and loaded as one.
    "a quoted text with a quote inside": _pickle(b"S'\\x41'b'\n0"),
    "a number in hexadecimal": _pickle(b"I0x10\n0"),
    "a number in octal of Python 2": _pickle(b"I010\n0"),
    "a number in binary": _pickle(b"L0b1\n0"),
    "a long number in hexadecimal": _pickle(b"L0x10L\n0"),
    "a number after many spaces": _pickle(b"I" + b" " * 20_000 + b"1\n0"),
    "arguments that a call made": _pickle(b"c__builtin__\nstr\nc__builtin__\ntuple\n((lS'x'\natRR0"),
    "a pickle behind another one": Evasion("rows.dat", b"(lp0\n." + REACHES, REFUSED, "pickle.dangerous-global"),
    "a legacy checkpoint as text": Evasion(
        "pytorch_model.bin",
        b"L%dL\n.I1001\n.(d." % 0x1950A86A20F9469CFC6C + REACHES,
        REFUSED,
        "pickle.dangerous-global",
    ),
    # -- templates
    "a name in two parts": _template("{{ ''['__cl' ~ 'ass__'] }}"),
    "a name that was set": _template("{% set k = '__cl' + 'ass__' %}{{ ''[k] }}"),
    "a name that was rendered": _template("{% set k %}__cla{% if 1 %}ss__{% endif %}{% endset %}{{ ''[k] }}"),
    "a name of the tokenizer's": _template("{{ ''[bos_token] }}"),
    "a name for a filter": _template("{{ [''] | map(attribute='__cl' ~ 'ass__') | first }}"),
    "a name that a macro renders": _template("{% macro m() %}__cla{{ 'ss__' }}{% endmacro %}{{ ''[m()] }}"),
    "a name that a macro is given": _template("{% macro m(a) %}{{ ''[a] }}{% endmacro %}{{ m('__cl' ~ 'ass__') }}"),
    "a name in a namespace": _template("{% set n = namespace(k='') %}{% set n.k = '__cl' ~ 'ass__' %}{{ ''[n.k] }}"),
    "a name backwards": _template("{{ ''['__ssalc__'[::-1]] }}"),
    "a name in capitals": _template("{{ ''['__CLASS__' | lower] }}"),
    "a name out of a list": _template("{% for k in ['__cl' ~ 'ass__'] %}{{ ''[k] }}{% endfor %}"),
    "a value under the name of a method, by dict": _template("{{ dict([['title', x]]).title() }}", "template.call"),
    "a value under the name of a method, by namespace": _template(
        "{{ namespace([['title', x]]).title() }}", "template.call"
    ),
    "a value under the name of a method, by a variable": _template(
        "{% set k = 'title' %}{{ {k: x}.title() }}", "template.call"
    ),
    "map by the name of a filter": _template("{{ [x] | map('attr', 'y') | first }}", "template.call"),
    "a template without a statement": Evasion(
        "chat_template.jinja", b"{{ dict([['title', ''['__cl' ~ 'ass__']]]).title() }}", CODE, "template.composed"
    ),
    "a template without a statement, by a token": Evasion(
        "chat_template.jinja", b"{{ dict([['title', ''[bos_token]]]).title() }}", QUARANTINED, "name.mismatch"
    ),
    # -- configurations
    "_target_ in JSON": _json(
        "config.json", {"model": {"_target_": "os.system", "command": "true"}}, "configuration.object"
    ),
    "_target_ in YAML": Evasion("config.yaml", b"model:\n  _target_: os.system\n", CODE, "configuration.object"),
    "loader_module of MLflow": Evasion(
        "MLmodel", b"flavors:\n  python_function:\n    loader_module: evil\n", CODE, "configuration.object"
    ),
    "jsonpickle": _json(
        "state.json", {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]}, "configuration.object"
    ),
    "skops": _json(
        "schema.json", {"__class__": "system", "__module__": "os", "__loader__": "TypeNode"}, "configuration.object"
    ),
    "LangChain": _json(
        "chain.json", {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}, "configuration.object"
    ),
    "a kernel of somebody's": _json(
        "config.json", {"model_type": "x", "attn_implementation": "evil/kernels"}, "json.auto-map"
    ),
    "a module of sentence-transformers": _json(
        "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "joblib.numpy_pickle"}], "json.auto-map"
    ),
    "a part of a pipeline of diffusers": _json(
        "model_index.json",
        {"_class_name": "P", "_diffusers_version": "0.1", "unet": ["my_unet", "Net"]},
        "json.auto-map",
    ),
    "a library of PEFT": _json(
        "adapter_config.json", {"auto_mapping": {"parent_library": "evil", "base_model_class": "X"}}, "json.auto-map"
    ),
    "trust_remote_code as a text": _json("config.json", {"trust_remote_code": "yes"}, "json.auto-map"),
    "a configuration larger than is parsed": Evasion(
        "config.json",
        _padded_json('{"a":\n{"b": 1}, "auto_map": {"AutoModel": "m.M"}, "p": "PADDING"}'),
        UNSCANNABLE,
        "text.malformed",
    ),
    "a list larger than is parsed": Evasion(
        "config.json",
        _padded_json('[\n{"auto_map": {"AutoModel": "m.M"}, "p": "PADDING"}]'),
        UNSCANNABLE,
        "text.malformed",
    ),
    "a function of Keras that loads a model": _keras("keras.models", "function", "load_model"),
    "a function of Keras by the name of a class": _keras("keras.models", "load_model", {}),
    "a function of Python in Keras": _keras("builtins", "function", "eval"),
    "a function that is registered": _keras("builtins", "function", "mine", "keras.custom-object"),
    "a compiled graph in ONNX": Evasion(
        "model.onnx", onnx_of("com.microsoft", "EPContext"), CODE, "onnx.custom-domain"
    ),
    # -- archives
    "two directories of zip64": Evasion("model.pt", _two_directories(), REFUSED, "archive.hidden"),
    "an end that says another directory": Evasion("a.zip", _end_says("<L", 16, 1), REFUSED, "archive.hidden"),
    "an end that says fewer members": Evasion("a.zip", _end_says("<H", 10, 1), REFUSED, "archive.hidden"),
    "a program of torch.export": Evasion(
        "model.pt2",
        zipped(
            {
                "m/archive_format": b"pt2",
                "m/models/model.json": b'{"graph_module": {"sym": {"expr_str": "__import__(\'os\')"}}, "opset_version": {}}',
            }
        ),
        CODE,
        "torch.exported",
    ),
    # -- marked-up texts
    "an event behind a sign that ends no tag": _markup('<svg><image alt=">" onerror="x()"/></svg>'),
    "an event far behind": _markup(f'<svg><a b="{"A" * 900}" onclick="x()"/></svg>'),
    "a script by a prefix": _markup('<svg xmlns:h="http://www.w3.org/1999/xhtml"><h:script>x()</h:script></svg>'),
    "a scheme in other signs": _markup('<svg><a href="&#106;avascript:x()">x</a></svg>'),
    "a scheme in two lines": _markup('<svg><a href="java\nscript:x()">x</a></svg>'),
    "an event that is set": _markup('<svg><set attributeName="onclick" to="x()"/></svg>'),
    "a document type of another place": _markup(
        '<?xml version="1.0"?><!DOCTYPE PMML SYSTEM "http://x.example/x.dtd"><PMML/>', "m.pmml"
    ),
    "a document type of another place, as the W3C's": _markup(
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x.example/x.dtd"><svg/>'
    ),
    "XInclude": _markup(
        '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></a>',
        "a.xml",
    ),
    # -- names
    "lines for Python's path": Evasion(
        "evil.pth", b"/usr/lib/x\nimport os; os.getcwd()\n", QUARANTINED, "name.mismatch"
    ),
    "a text as a pickle": Evasion("model.pkl", b"what no reader of pickles is shown\n", QUARANTINED, "name.mismatch"),
    "tasks of an editor": _json(".vscode/tasks.json", {"tasks": [{"command": "true"}]}, "name.code"),
    "data of R as text": Evasion("model.rds", b"A\n3\n262657\n197888\n5\nUTF-8\n254\n", QUARANTINED, "name.mismatch"),
    "PostScript": Evasion("figure", b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n", CODE, "script.shebang"),
    "a variant of a Dockerfile": Evasion("Dockerfile.gpu", b"FROM x\nRUN true\n", CODE, "name.code"),
    "an application of HTML": Evasion("page.hta", b"see <script>x()</script>", CODE, "name.code"),
}
