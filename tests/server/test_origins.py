"""The addresses that DPoP proofs may name: where the gateway listens, and what `origins` in `nomoat.toml` adds."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nomoat.core.errors import Malformed
from nomoat.server.configuration import FILE, Configuration, load_configuration

PLAIN = Configuration("acme.example", "127.0.0.1", 8443, ("localhost",), Path("/kek"))


def written(folder: Path, text: str) -> Configuration:
    (folder / FILE).write_text(text)
    (folder / FILE).chmod(0o600)
    return load_configuration(folder)


def test_origins_are_kept(tmp_path: Path) -> None:
    mapped = replace(PLAIN, origins=("https://data.acme.example", "https://data.acme.example:9443"))
    assert written(tmp_path, mapped.dump()) == mapped
    assert written(tmp_path, PLAIN.dump()).origins == ()


@pytest.mark.parametrize(
    "origins",
    [[], "https://a", ["http://a"], ["a"], ["https://"], ["https://u@a"], ["https://a:x"], ["https://a", 1], [""]],
    ids=json.dumps,
)
def test_what_is_no_list_of_addresses_does_not_start(tmp_path: Path, origins: object) -> None:
    with pytest.raises(Malformed, match="origins is a list of addresses"):
        written(tmp_path, f"{PLAIN.dump()}origins = {json.dumps(origins)}\n")
