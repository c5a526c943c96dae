"""The starter policies, which `nomoat init` puts in force; `docs/policies.md` explains each of them."""

from importlib.resources import files


def starter_policies() -> dict[str, str]:
    """The starter policies as `compile_policies` takes them: Cedar text by file name."""
    folder = files("nomoat.policy").joinpath("starter")
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".cedar")}
