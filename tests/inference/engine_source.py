"""The source code of a team, made: functions as people write them, copies of them, and a repository that has them."""

import base64
import json
import keyword
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

CLEARED = """
[[group]]
name = "engine-team"
[[person]]
name = "engineer"
groups = ["model-users", "engine-team"]
clearance = "confidential"
[[person]]
name = "other"
groups = ["model-users"]
clearance = "confidential"
[[endpoint]]
name = "acme/internal-coder"
classification = "internal"
served = [{ upstream = "internal", model = "our-model" }]
[[endpoint]]
name = "acme/outside-coder"
classification = "public"
served = [{ upstream = "hosted", model = "their-model" }]
"""
VERBS = ("scale", "merge", "weigh", "trim", "rank", "split", "bind", "route", "probe", "seal")
NOUNS = ("ledger", "tariff", "cohort", "signal", "voyage", "lattice", "quota", "beacon", "anchor", "packet")


def function(number: int, chance: random.Random) -> str:
    """A function as people write them, and as nobody else did."""
    verb, noun = chance.choice(VERBS), chance.choice(NOUNS)
    first, second, third = chance.sample(NOUNS, 3)
    lines = [
        f"def {verb}_{noun}_{number}({first}, {second}=None, *, {third}_limit={chance.randint(2, 99)}):",
        f"    # how much of the {noun} is {verb}ed for each {first}",
        f"    {third} = {{}}",
    ]
    for step in range(chance.randint(4, 9)):
        a, b = chance.sample((first, third, noun), 2)
        lines += [
            chance.choice(
                (
                    f"    for {a}_{step}, {b}_{step} in enumerate({first}.items()):\n        {third}[{a}_{step}] = {b}_{step} ** {chance.randint(2, 9)} % {third}_limit",
                    f"    if {second} is not None and len({third}) > {chance.randint(3, 50)}:\n        raise ValueError(f'{noun} {{len({third})}} over {{{third}_limit}}')",
                    f"    {b}_{step} = sorted({third}.values(), key=lambda each: (each * {chance.randint(2, 9)}, -each))[: {chance.randint(2, 9)}]",
                    f"    while {third}_limit > {chance.randint(10, 90)} and {first}:\n        {third}_limit -= {first}.pop('{noun}', {chance.randint(1, 9)})",
                    f"    try:\n        {a}_{step} = {second}[{chance.randint(0, 9)}].{verb}(**{third})\n    except (KeyError, TypeError) as error:\n        {third}['{b}'] = str(error)",
                )
            )
        ]
    return "\n".join([*lines, f"    return {third}, {third}_limit", "", ""])


def modules(seed: int = 7, count: int = 12) -> dict[str, str]:
    """A repository of nobody else's: functions in files."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    return {
        f"engine/part{part}.py": "\n".join(function(part * 100 + each, chance) for each in range(12))
        for part in range(count)
    }


def committed(folder: Path, files: dict[str, str], message: str) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    who = ["-c", "user.name=n", "-c", "user.email=n@acme.example", "-c", "commit.gpgsign=false"]
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(folder), *who, "commit", "-q", "-m", message], check=True)
    return folder


def renamed(code: str) -> str:
    names: dict[str, str] = {}

    def another(name: re.Match[str]) -> str:
        return name[0] if keyword.iskeyword(name[0]) else names.setdefault(name[0], f"v{len(names)}")

    return re.sub(r"[A-Za-z_]\w*", another, code)


def reformatted(code: str) -> str:
    joined = re.sub(r"\(\n\s*", "(", code.replace("'", '"').replace("    ", "\t"))
    return re.sub(r", ", ",\n\t\t\t", joined)


FORMS: dict[str, Callable[[str], str]] = {
    "verbatim": lambda code: code,
    "re-formatted": reformatted,
    "every-name-another": renamed,
    "comments-translated": lambda code: re.sub(r"#.*", "# wie viel davon je Stück bleibt", code),
    "base64": lambda code: base64.b64encode(code.encode()).decode(),
    "as-json": lambda code: json.dumps({"content": code}),
}
CODE = "\n".join(modules()["engine/part3.py"].splitlines()[20:90])
