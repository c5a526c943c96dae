"""What a name adds to a verdict: it can only make it worse.

Readers choose by name what to do with a content, so a name that promises another format, or makes it a program, counts.
"""

import unicodedata
from typing import Final

from nomoat.core.verdict import Finding, Report, printable
from nomoat.inspection.content import words
from nomoat.inspection.rules import RULES

_CODE: Final = words(
    """
    py pyw pyx pyi ipynb sh bash zsh fish csh ksh ps1 psm1 bat cmd vbs js mjs cjs ts rb pl pm php lua r rs go c cc
    cpp h cu java scala kt swift jl groovy awk tcl desktop command gyp mk cmake dockerfile ipy pyz pyzw hta wsf wsh
    vbe jse sct ps1xml psd1 applescript scpt inf reg lnk url jnlp xsl xslt ps eps service hcl tf nix
    """
)
_NATIVE: Final = words(
    """
    pyc pyo pyd so dll dylib exe com scr msi node wasm class jar war o a lib ko elf bin-exe apk dex whl egg
    """
)
_PROGRAMS: Final = frozenset(
    {
        "makefile",
        "dockerfile",
        "jenkinsfile",
        "rakefile",
        "vagrantfile",
        "justfile",
        ".envrc",
        "pyproject.toml",
        "setup.cfg",
        "package.json",
        ".gitmodules",
        ".npmrc",
        ".pre-commit-config.yaml",
        "mlmodel",
        "cmakelists.txt",
        "gemfile",
        "brewfile",
        "procfile",
        "sconstruct",
        "sconscript",
    }
)
_RUNNING_FOLDERS: Final = frozenset({".hg", ".svn", ".vscode", ".idea", ".devcontainer", ".husky"})
"""What lies in these is run by who opens the folder around them."""
_TEXTS: Final = frozenset({"text", "expressions", "json", "keras-config", "markup", "jinja"})
_PICKLES: Final = frozenset({"pickle", "joblib"})
_FORMATS: Final[dict[str, frozenset[str]]] = {
    "safetensors": frozenset({"safetensors"}),
    "gguf": frozenset({"gguf"}),
    "onnx": frozenset({"onnx"}),
    "parquet": frozenset({"parquet"}),
    "json": frozenset({"json", "keras-config", "text", "expressions"}),  # a line each, often
    "npy": frozenset({"npy"}),
    "npz": frozenset({"npz", "zip"}),
    "keras": frozenset({"keras"}),
    "h5": frozenset({"hdf5"}),
    "hdf5": frozenset({"hdf5"}),
    "zip": frozenset({"zip", "npz", "torch-zip", "keras"}),
    "tar": frozenset({"tar"}),
    "gz": frozenset({"gzip"}),
    "tgz": frozenset({"gzip"}),
    "bz2": frozenset({"bzip2"}),
    "xz": frozenset({"xz"}),
    **dict.fromkeys(words("pt pth ckpt"), _PICKLES | {"torch-zip", "torch-legacy", "safetensors"}),
    **dict.fromkeys(
        words("pkl pickle pck pcl"), _PICKLES | {"gzip", "zlib", "bzip2", "xz", "torch-zip", "torch-legacy"}
    ),
    "joblib": frozenset({"joblib", "pickle", "gzip", "zlib", "bzip2", "xz"}),
    "pt2": frozenset({"zip"}),
    "nemo": frozenset({"tar", "gzip"}),
    **dict.fromkeys(words("rds rda rdata"), frozenset[str]()),  # of R, which runs what is in them: not read here
    **dict.fromkeys(words("jinja jinja2 j2"), frozenset({"jinja", "text"})),
    **dict.fromkeys(words("md txt csv tsv jsonl ndjson yaml yml toml rst cfg ini"), _TEXTS),
    **dict.fromkeys(words("html htm xhtml xml svg"), frozenset({"markup"})),  # as such, their scripts were looked for
}


def worse_by_name(path: str, report: Report) -> Report:
    """The report of a content that is to be published under a path, the name taken into account. Never raises."""
    *folders, name = unicodedata.normalize("NFKC", path).casefold().replace("\\", "/").split("/")
    name = name.rstrip(". \t")
    extensions = name.split(".")[1:]
    last = extensions[-1] if extensions else ""
    rules: list[str] = []
    within = not _RUNNING_FOLDERS.isdisjoint(each.rstrip(". \t") for each in folders)
    if last in _CODE or name in _PROGRAMS or name.startswith("dockerfile.") or within:
        rules.append("name.code")
    if last in _NATIVE or (len(extensions) > 1 and "so" in extensions):  # libx.so.1
        rules.append("name.native")
    if last in _FORMATS and report.format not in _FORMATS[last]:
        rules.append("name.mismatch")
    if not rules:
        return report
    what = printable(f"{path}: {report.format}")
    return Report.of(
        report.format, [*report.findings, *(Finding(RULES[rule].verdict, rule, "", what) for rule in rules)]
    )
