"""The rules that an inspection judges by: each with its stable id, its verdict and its reason.

docs/reference/scanning.md is this table; a test compares them.
"""

from typing import Final, NamedTuple

from nomoat.core.verdict import Verdict


class Rule(NamedTuple):
    """How bad it is, and what it means in a sentence."""

    verdict: Verdict
    means: str


_CODE: Final = Verdict.CONTAINS_CODE
_QUARANTINED: Final = Verdict.QUARANTINED
_UNSCANNABLE: Final = Verdict.UNSCANNABLE
_REFUSED: Final = Verdict.REFUSED

RULES: Final[dict[str, Rule]] = {
    "archive.bad-checksum": Rule(_UNSCANNABLE, "a member is not what its checksum says"),
    "archive.bomb": Rule(_REFUSED, "it unpacks to more than a hundred times its size, and more than is examined"),
    "archive.different-names": Rule(_REFUSED, "the directory of a zip and the header of a member disagree"),
    "archive.duplicate": Rule(_REFUSED, "two members have one name: readers differ on which counts"),
    "archive.encrypted": Rule(_UNSCANNABLE, "a member is encrypted"),
    "archive.escape": Rule(_REFUSED, "a member's path leads out of the folder it is unpacked into"),
    "archive.hidden": Rule(_REFUSED, "bytes lie where no member does: two readers see two archives"),
    "archive.link": Rule(_REFUSED, "a member is a link"),
    "archive.device": Rule(_REFUSED, "a member is a device or a pipe"),
    "archive.method": Rule(_UNSCANNABLE, "a member is compressed in a way that is not read here"),
    "archive.overlap": Rule(_REFUSED, "members lie over each other"),
    "archive.trailing": Rule(_QUARANTINED, "bytes follow after the end"),
    "budget.exhausted": Rule(_UNSCANNABLE, "examining all of it would take more than an inspection may"),
    "bzip2.malformed": Rule(_UNSCANNABLE, "not a bzip2 stream to its end"),
    "configuration.object": Rule(
        _CODE, "a configuration of objects of any class or calls of any function (_target_, jsonpickle)"
    ),
    "content.malformed": Rule(_UNSCANNABLE, "could not be read as what it seemed to be"),
    "content.unknown": Rule(_UNSCANNABLE, "no format that is known here"),
    "content.unreadable": Rule(_UNSCANNABLE, "the content could not be read"),
    "gguf.duplicate": Rule(_REFUSED, "two keys or tensors have one name"),
    "gguf.layout": Rule(_QUARANTINED, "tensors overlap, or data lies outside of them"),
    "gguf.malformed": Rule(_UNSCANNABLE, "not a GGUF file to its end"),
    "gzip.malformed": Rule(_UNSCANNABLE, "not a gzip stream to its end"),
    "hdf5.opaque": Rule(_UNSCANNABLE, "HDF5 is not read here"),
    "html.script": Rule(
        _CODE, "a script, a frame, an event handler, an entity or another document in a marked-up text"
    ),
    "json.auto-map": Rule(_CODE, "a configuration that loads code from the repository or another one (auto_map)"),
    "json.duplicate-key": Rule(_QUARANTINED, "a key stands twice in one object: readers differ on which counts"),
    "json.malformed": Rule(_UNSCANNABLE, "begins as JSON and is none"),
    "keras.custom-object": Rule(_CODE, "an object that only registered code can make"),
    "keras.foreign-module": Rule(_REFUSED, "an object of a module that is not Keras"),
    "keras.lambda": Rule(_REFUSED, "a Lambda layer or function: Python bytecode"),
    "keras.reads-file": Rule(_QUARANTINED, "a layer that reads a file of the machine that loads it"),
    "name.code": Rule(_CODE, "the name makes it a program"),
    "name.native": Rule(_QUARANTINED, "the name makes it compiled code"),
    "name.mismatch": Rule(_QUARANTINED, "the content is not of the format that the name says"),
    "native.executable": Rule(_QUARANTINED, "a program or library of an operating system or virtual machine"),
    "npy.malformed": Rule(_UNSCANNABLE, "not an array of NumPy to its end"),
    "npy.objects": Rule(_CODE, "an array of Python objects: it is loaded by unpickling"),
    "onnx.custom-domain": Rule(_CODE, "an operator that only code of the model's author provides, or that is compiled"),
    "onnx.external-path": Rule(_REFUSED, "external data outside of the model's folder"),
    "onnx.malformed": Rule(_UNSCANNABLE, "not an ONNX model to its end"),
    "onnx.python-operator": Rule(_CODE, "an operator that calls Python"),
    "parquet.encrypted": Rule(_UNSCANNABLE, "the footer is encrypted"),
    "parquet.layout": Rule(_QUARANTINED, "column chunks lie outside of the file or over each other"),
    "parquet.malformed": Rule(_UNSCANNABLE, "not a Parquet file to its end"),
    "parquet.pickle": Rule(_CODE, "metadata that readers unpickle"),
    "pickle.budget": Rule(_UNSCANNABLE, "a pickle of more operations, stack or memo than is followed"),
    "pickle.dangerous-global": Rule(_REFUSED, "loading it reaches for what runs programs or code"),
    "pickle.dotted-name": Rule(_REFUSED, "loading it reaches through an object to what lies behind it"),
    "pickle.extension": Rule(_UNSCANNABLE, "an extension code: what it means is up to who loads it"),
    "pickle.malformed": Rule(_UNSCANNABLE, "not a pickle to its end"),
    "pickle.out-of-band": Rule(_UNSCANNABLE, "buffers that are not in the content"),
    "pickle.persistent-id": Rule(_QUARANTINED, "a reference that means what the loader makes of it"),
    "pickle.second-opinion": Rule(_REFUSED, "picklescan knows a global of it as dangerous"),
    "pickle.suspicious-call": Rule(_REFUSED, "an allowed global is called, or changed, as no library does"),
    "pickle.trailing": Rule(_QUARANTINED, "bytes follow after the pickle"),
    "pickle.unknown-global": Rule(_QUARANTINED, "loading it imports what is not on the list of what is allowed"),
    "pickle.unresolved-global": Rule(_UNSCANNABLE, "what it imports could not be told"),
    "polyglot.pickle": Rule(_REFUSED, "a content of another format that also loads as a pickle"),
    "polyglot.zip": Rule(_REFUSED, "a content of another format that also opens as a zip"),
    "python.bytecode": Rule(_QUARANTINED, "compiled Python"),
    "python.source": Rule(_CODE, "Python source"),
    "safetensors.duplicate-key": Rule(_REFUSED, "a key stands twice: readers differ on which counts"),
    "safetensors.layout": Rule(_QUARANTINED, "tensors overlap, leave gaps, or bytes follow after them"),
    "safetensors.malformed": Rule(_UNSCANNABLE, "not a safetensors file to its end"),
    "script.shebang": Rule(_CODE, "a script: it begins with #!"),
    "tar.malformed": Rule(_UNSCANNABLE, "not a tar archive to its end"),
    "template.call": Rule(_CODE, "a template that calls, filters or tests with more than chat templates need"),
    "template.composed": Rule(
        _CODE, "a template that looks something up by a name that it composes: it may reach anything"
    ),
    "template.dunder": Rule(_REFUSED, "a template that reaches for Python's internals"),
    "template.load": Rule(_CODE, "a template that loads another one"),
    "template.malformed": Rule(_UNSCANNABLE, "a chat template that does not parse"),
    "text.malformed": Rule(_UNSCANNABLE, "begins as text and goes on as something else"),
    "torch.exported": Rule(_CODE, "a program that torch.export wrote: expressions of it are evaluated"),
    "torch.legacy-layout": Rule(_QUARANTINED, "storages after a legacy checkpoint are not those it names"),
    "torch.script": Rule(_CODE, "TorchScript: code beside the weights"),
    "torch.storage": Rule(_QUARANTINED, "a storage that is missing, or not of the size that the checkpoint says"),
    "xz.malformed": Rule(_UNSCANNABLE, "not an xz or lzma stream to its end"),
    "yaml.python-tag": Rule(_CODE, "a YAML tag that makes Python objects"),
    "zip.malformed": Rule(_UNSCANNABLE, "not a zip archive to its end"),
    "zlib.malformed": Rule(_UNSCANNABLE, "not a zlib stream to its end"),
}
