"""JSON, among it configurations of models, tokenizers and Keras: parsed whole, and searched for what runs code."""

import json
from collections.abc import Iterator
from typing import Final, cast

from nomoat.inspection.allowed import classify
from nomoat.inspection.configurations import code_of
from nomoat.inspection.content import Inspection, Malformed, leads_outside, words
from nomoat.inspection.templates import inspect_template, reaches

LARGEST: Final = 64 << 20  # bytes that are parsed
_MOST_VALUES: Final = 20_000_000
_TEMPLATES: Final = frozenset({"chat_template", "chat_templates"})
_KERAS: Final = words(
    """
    keras keras.activations keras.constraints keras.dtype_policies
    keras.initializers keras.layers keras.losses keras.metrics keras.mixed_precision keras.models keras.optimizers
    keras.quantizers keras.random keras.regularizers keras_core.layers keras_cv.layers keras_nlp.layers
    keras_hub.layers keras_nlp.models keras_hub.models keras_cv.models tf_keras.layers
    """
)


_KERAS_FUNCTIONS: Final = words(
    "keras.activations keras.constraints keras.initializers keras.losses keras.metrics keras.regularizers"
)
"""Modules whose functions may be named: elsewhere in Keras there are some that load files, or another model."""


def inspect_json(data: bytes, inspection: Inspection) -> str:
    """Judge a document; returns its format, 'json', 'keras-config' or 'notebook'. Raises `Malformed`."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            inspection.find("json.duplicate-key", _twice(pairs))
        return made

    try:
        document: object = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {error}") from None
    form = "json"
    for value in _objects(document, inspection):
        for rule, what in code_of(value):
            inspection.find(rule, what)
        if "class_name" in value and "config" in value:
            form = "keras-config"
            _keras(value, inspection)
    if isinstance(document, dict) and "cells" in document and "nbformat" in document:
        inspection.find("python.source", "a notebook")
        form = "notebook"
    return form


def _twice(pairs: list[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return ""


def _objects(document: object, inspection: Inspection) -> Iterator[dict[str, object]]:
    """Every mapping of a document; templates are judged on the way."""
    waiting: list[tuple[str, object]] = [("", document)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            _string(key, value, inspection)
        elif isinstance(value, list):
            waiting.extend((key, each) for each in cast("list[object]", value))
        elif isinstance(value, dict):
            held = cast("dict[str, object]", value)
            yield held
            within = key in _TEMPLATES
            waiting.extend((key if within and name != "name" else name, each) for name, each in held.items())


def _string(key: str, value: str, inspection: Inspection) -> None:
    if key in _TEMPLATES:
        inspect_template(value, inspection, key)
    elif reaches(value):
        inspect_template(value, inspection, key, sure=False)


def _keras(value: dict[str, object], inspection: Inspection) -> None:
    """A serialized object of Keras: what would be imported and made of it."""
    name, module, config = value.get("class_name"), value.get("module"), value.get("config")
    settings = cast("dict[str, object]", config) if isinstance(config, dict) else {}
    if name in {"Lambda", "__lambda__"} or settings.get("function_type") == "lambda":
        inspection.find("keras.lambda", str(name))
    if name == "TorchModuleWrapper":
        inspection.find("keras.foreign-module", "TorchModuleWrapper: a pickle of torch")
    if isinstance(module, str) and module not in {"", "builtins"}:
        public = module.replace(".src.", ".")
        if (
            not any(public == each or public.startswith(f"{each}.") for each in _KERAS - {"keras"})
            and public != "keras"
        ):
            dangerous = classify(module, str(name))[0] == "pickle.dangerous-global" or not value.get("registered_name")
            inspection.find("keras.foreign-module" if dangerous else "keras.custom-object", f"{module}.{name}")
    if module == "builtins" and name not in {
        "function",
        "NoneType",
        "tuple",
        "slice",
        "str",
        "int",
        "float",
        "dict",
        "list",
    }:
        inspection.find("keras.foreign-module", f"builtins.{name}")
    _keras_function(name, module, value.get("config"), inspection)
    registered = value.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        inspection.find("keras.custom-object", registered)
    vocabulary = settings.get("vocabulary")
    if isinstance(vocabulary, str) and (leads_outside(vocabulary) or "." in vocabulary):
        inspection.find("keras.reads-file", vocabulary)


def _keras_function(name: object, module: object, config: object, inspection: Inspection) -> None:
    """A function, which a class's name may be as well, is called with whatever the document says."""
    called = config if name == "function" else name
    if name != "function" and not (isinstance(module, str) and isinstance(name, str) and name[:1].islower()):
        return
    if not isinstance(module, str) or not isinstance(called, str):
        inspection.find("keras.foreign-module", f"{module}.{called}")
    elif module == "builtins":  # registered by who loads it; older versions of Keras take it as it says
        if name == "function":
            dangerous = classify(module, called)[0] == "pickle.dangerous-global"
            inspection.find("keras.foreign-module" if dangerous else "keras.custom-object", f"builtins.{called}")
    elif module and module.replace(".src.", ".") not in _KERAS_FUNCTIONS:
        inspection.find("keras.foreign-module", f"{module}.{called}")
