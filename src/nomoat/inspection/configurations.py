"""Configurations in JSON that make a loader take code from the repository or elsewhere, or make objects of any class."""

from collections.abc import Iterator
from typing import Final, cast

from nomoat.inspection.content import words

_JSONPICKLE: Final = words(
    "object type function reduce reducedargs newobj newargs newargsex initargs id ref repr state"
)
_PARTS: Final = words(
    """
    diffusers transformers onnxruntime stable_diffusion latent_diffusion paint_by_example versatile_diffusion
    alt_diffusion unidiffuser audioldm audioldm2 shap_e wuerstchen deepfloyd_if kandinsky kandinsky2_2 stable_cascade
    spectrogram_diffusion
    """
)
"""Where a pipeline of diffusers takes its parts from; any other name is a file of the repository."""

_LIBRARIES: Final = words("transformers diffusers peft timm sentence_transformers torch torchvision")
_KERNELS: Final = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")


def code_of(value: dict[str, object]) -> Iterator[tuple[str, str]]:
    """The rules that one mapping of a document breaks, each with what it says."""
    if value.get("auto_map"):
        yield "json.auto-map", "auto_map"
    if value.get("trust_remote_code") or value.get("custom_pipelines") or value.get("custom_pipeline"):
        yield "json.auto-map", "trust_remote_code"
    for key in _KERNELS:
        if isinstance(value.get(key), str) and "/" in str(
            value[key]
        ):  # OWNER/NAME: compiled code of another repository
            yield "json.auto-map", f"{key}: {value[key]}"
    if (library := value.get("parent_library")) and str(library).partition(".")[0] not in _LIBRARIES:
        yield "json.auto-map", f"parent_library: {library}"
    if {"idx", "path", "type"} <= value.keys() and not str(value["type"]).startswith("sentence_transformers."):
        yield "json.auto-map", f"a module of type {value['type']}"
    if "_diffusers_version" in value:
        yield from (("json.auto-map", f"a part of {part}") for part in _foreign_parts(value))
    if (what := _object(value)) is not None:
        yield "configuration.object", what
    if "graph_module" in value and "opset_version" in value:
        yield "torch.exported", "graph_module"


def _foreign_parts(value: dict[str, object]) -> Iterator[str]:
    for key, part in value.items():
        entry = cast("list[object]", part) if isinstance(part, list) else []
        if key == "_class_name" and entry:
            yield str(entry[0])
        if len(entry) == 2 and all(isinstance(each, str) for each in entry) and entry[0] not in _PARTS:
            yield str(entry[0])


def _object(value: dict[str, object]) -> str | None:
    """What a loader would import to make of a mapping, if it is one of an object."""
    if "_target_" in value:
        return f"_target_: {value['_target_']}"
    if any(key.startswith("py/") and key[3:] in _JSONPICKLE for key in value):
        return "jsonpickle"
    if isinstance(value.get("__module__"), str) and "__class__" in value:
        return f"{value['__module__']}.{value['__class__']}"
    if "lc" in value and value.get("type") == "constructor" and isinstance(value.get("id"), list):
        return "LangChain"
    return None
