"""Key management: a keyring in a file, a vault, AWS and a PKCS#11 token does the same, and each failure says what to do."""

import re
import resource
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from nomoat.core.errors import Conflict, Corrupt, NotFound, Unavailable
from nomoat.server.configuration import Configuration
from nomoat.server.keeping import KeySettings, open_keyring, parse_keys
from nomoat.stores.keyring import Keyring
from nomoat.stores.keys import KeyEncryptionKey
from nomoat.stores.kms.port import KeyManagement
from tests.stores.kms.transit import TOKEN, Transit, transit

SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
KEY = bytes(range(32))
CONTEXT = {"trust-domain": "acme.example", "version": "1"}


@dataclass
class Kept:
    """A key management service, and another key of the same kind."""

    settings: KeySettings
    directory: Path

    def keyring(self, domain: str = "acme.example") -> Keyring:
        made = Configuration(domain, "127.0.0.1", 0, ("localhost",), self.directory / "kek", keys=self.settings)
        return open_keyring(made)

    @property
    def kms(self) -> KeyManagement:
        return self.keyring().kms


def private(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


@contextmanager
def local(directory: Path) -> Iterator[Kept]:
    yield Kept(KeySettings(), directory)


@contextmanager
def vault(directory: Path) -> Iterator[Kept]:
    with transit() as server:
        yield Kept(vault_settings(server, directory), directory)


def vault_settings(server: Transit, directory: Path, token: str = TOKEN) -> KeySettings:
    said = {"url": server.url, "key": "gateway", "token_file": private(directory / "token", token + "\n")}
    return KeySettings("vault", said)


@contextmanager
def aws(directory: Path) -> Iterator[Kept]:
    import boto3
    from moto import mock_aws

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        made = boto3.client("kms", region_name="eu-central-1").create_key()
        yield Kept(KeySettings("aws", {"key": made["KeyMetadata"]["KeyId"], "region": "eu-central-1"}), directory)


@contextmanager
def pkcs11_token(directory: Path) -> Iterator[Kept]:
    tokens, configuration = directory / "tokens", directory / "softhsm2.conf"
    tokens.mkdir()
    configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
    import pkcs11

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(configuration))
        label = f"nomoat-{secrets.token_hex(4)}"
        made = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", "1234", "--so-pin", "5678"]
        subprocess.run(made, check=True, capture_output=True)
        library = pkcs11.lib(str(SOFTHSM))
        library.reinitialize()
        with library.get_token(token_label=label).open(rw=True, user_pin="1234") as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label="gateway", store=True)
        pin = private(directory / "pin", "1234\n")
        said = {"module": str(SOFTHSM), "token": label, "key": "gateway", "pin_file": pin}
        yield Kept(KeySettings("pkcs11", said), directory)


KINDS: dict[str, Callable[[Path], AbstractContextManager[Kept]]] = {
    "local": local,
    "vault": vault,
    "aws": aws,
    "pkcs11": pkcs11_token,
}


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "pkcs11" and not (SOFTHSM.exists() and shutil.which("softhsm2-util")):
        pytest.skip("SoftHSM is not installed: apt install softhsm2")
    with ExitStack() as stack:
        yield stack.enter_context(KINDS[request.param](tmp_path))


def handed_over(kept: Kept) -> Keyring:
    """The keyring of a key that lay in its file first."""
    KeyEncryptionKey.create(kept.directory / "kek")
    keyring = kept.keyring()
    if kept.settings.kms != "local":
        keyring.adopt()
    return keyring


# -- What every one of them does --------------------------------------------------------------------


def test_what_is_wrapped_comes_back(kept: Kept) -> None:
    assert kept.kms.unwrap(kept.kms.wrap(KEY, CONTEXT), CONTEXT) == KEY


def test_a_key_file_is_handed_over_and_opens_what_it_opened(kept: Kept) -> None:
    before = KeyEncryptionKey.create(kept.directory / "kek")
    text = (kept.directory / "kek").read_bytes()
    keyring = kept.keyring()
    if kept.settings.kms != "local":
        with pytest.raises(Unavailable, match="nomoat keys adopt DIRECTORY"):
            keyring.load()
        keyring.adopt()
        assert text.split(b":")[1].strip() not in (kept.directory / "kek").read_bytes()
    loaded = keyring.load()
    assert loaded.unwrap(before.wrap(b"secret", purpose="p"), purpose="p") == b"secret"
    assert loaded.derive("state") == before.derive("state")
    with pytest.raises(Conflict, match="nothing to adopt"):
        keyring.adopt()


def test_a_rotation_opens_the_old_and_wraps_with_the_new(kept: Kept) -> None:
    keyring = handed_over(kept)
    kek = keyring.load()
    old, state = kek.wrap(b"old", purpose="p"), kek.derive("state")
    assert (keyring.rotate(kek), keyring.rotate(kek)) == (2, 3)
    new = kek.wrap(b"new", purpose="p")
    for each in (kek, keyring.load()):
        assert [each.unwrap(wrapped, purpose="p") for wrapped in (old, new)] == [b"old", b"new"]
        assert each.derive("state") == state
        assert each.newest == 3
    assert oct((kept.directory / "kek").stat().st_mode & 0o777) == "0o600"


def test_one_who_read_the_file_before_a_rotation_learns_of_it(kept: Kept) -> None:
    keyring = handed_over(kept)
    kek, other = keyring.load(), keyring.load()
    keyring.rotate(kek)
    assert other.unwrap(kek.wrap(b"new", purpose="p"), purpose="p") == b"new"


def test_a_destroyed_version_is_gone_and_the_derived_keys_stay(kept: Kept) -> None:
    keyring = handed_over(kept)
    kek = keyring.load()
    old, state = kek.wrap(b"old", purpose="p"), kek.derive("state")
    with pytest.raises(Conflict, match="is the newest"):
        keyring.destroy(1)
    keyring.rotate(kek)
    with pytest.raises(NotFound, match="there are: 1, 2"):
        keyring.destroy(7)
    keyring.destroy(1)
    after = keyring.load()
    assert after.derive("state") == state
    with pytest.raises(Corrupt, match="version 1 of the key-encryption key"):
        after.unwrap(old, purpose="p")


@pytest.mark.parametrize("kind", ["vault", "aws", "pkcs11"])
def test_what_is_wrapped_for_another_trust_domain_does_not_open(kind: str, tmp_path: Path) -> None:
    with KINDS[kind](tmp_path) as kept:
        handed_over(kept)
        with pytest.raises(Unavailable, match="of another key or trust domain"):
            kept.keyring("other.example").load()


@pytest.mark.parametrize("kind", ["vault", "aws", "pkcs11"])
def test_a_version_does_not_pass_for_another(kind: str, tmp_path: Path) -> None:
    with KINDS[kind](tmp_path) as kept:
        keyring = handed_over(kept)
        keyring.rotate(keyring.load())
        text = (tmp_path / "kek").read_text()
        first, second = (match[1] for match in re.finditer(r'"[12]": "([^"]+)"', text))
        (tmp_path / "kek").write_text(text.replace(first, "-").replace(second, first).replace("-", second, 1))
        with pytest.raises(Unavailable):
            keyring.load()


# -- Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"), [(503, "unseal it"), (500, "see that it runs"), (404, "see that it runs")]
)
def test_a_vault_that_fails_says_what_to_do_and_changes_nothing(status: int, words: str, tmp_path: Path) -> None:
    with transit() as server:
        kept = Kept(vault_settings(server, tmp_path), tmp_path)
        keyring = handed_over(kept)
        kek, before = keyring.load(), (tmp_path / "kek").read_bytes()
        server.fault = status
        with pytest.raises(Unavailable, match=words):
            keyring.load()
        with pytest.raises(Unavailable, match=words):
            keyring.rotate(kek)
        assert (kek.newest, (tmp_path / "kek").read_bytes()) == (1, before)
        server.fault, server.garbled = None, True
        with pytest.raises(Unavailable, match="look at its url and mount"):
            keyring.load()


def test_a_vault_that_refuses_the_token_or_is_not_there_says_so(tmp_path: Path) -> None:
    with transit() as server:
        kept = Kept(vault_settings(server, tmp_path, "s.other"), tmp_path)
        with pytest.raises(Unavailable, match=r"refused to encrypt: give the token .* on transit/encrypt/gateway"):
            kept.kms.wrap(KEY, CONTEXT)
        (tmp_path / "token").chmod(0o644)
        with pytest.raises(Unavailable, match="chmod 600"):
            kept.kms.wrap(KEY, CONTEXT)
        (tmp_path / "token").unlink()
        with pytest.raises(Unavailable, match="cannot be read"):
            kept.kms.wrap(KEY, CONTEXT)
        private(tmp_path / "token", TOKEN)
    with pytest.raises(Unavailable, match="did not answer"):
        kept.kms.wrap(KEY, CONTEXT)


def test_aws_without_the_key_says_so(tmp_path: Path) -> None:
    with aws(tmp_path) as kept:
        wrapped = kept.kms.wrap(KEY, CONTEXT)
        missing = Kept(KeySettings("aws", {"key": "alias/none", "region": "eu-central-1"}), tmp_path).kms
        with pytest.raises(Unavailable, match="alias/none is there and enabled"):
            missing.wrap(KEY, CONTEXT)
        with pytest.raises(Unavailable, match="alias/none is there and enabled"):
            missing.unwrap(wrapped, CONTEXT)


def test_a_token_with_a_wrong_pin_or_no_key_says_so(tmp_path: Path) -> None:
    with pkcs11_token(tmp_path) as kept:
        said = dict(kept.settings.settings)
        for change, words in (
            ({"key": "none"}, "has no AES key 'none': make it"),
            ({"token": "none"}, "is not there: connect it"),
            ({"module": "/nowhere.so"}, "its module is installed"),
            ({"pin_file": private(tmp_path / "wrong", "9999")}, "refused the PIN"),
        ):
            with pytest.raises(Unavailable, match=words):
                Kept(KeySettings("pkcs11", {**said, **change}), tmp_path).kms.wrap(KEY, CONTEXT)


@pytest.mark.parametrize(
    "content", [b"", b"nomoat-keyring-1\n", b"nomoat-keyring-1\n[]", b'nomoat-keyring-1\n{"kms":"local"}']
)
def test_a_damaged_key_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "kek").write_bytes(content)
    (tmp_path / "kek").chmod(0o600)
    with pytest.raises(Unavailable):
        Kept(KeySettings(), tmp_path).keyring().load()


def test_a_rotation_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    keyring = handed_over(Kept(KeySettings(), tmp_path))
    kek, before = keyring.load(), (tmp_path / "kek").read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))  # as on a disk that is full
    try:
        with pytest.raises(Unavailable, match="cannot be written"):
            keyring.rotate(kek)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (kek.newest, (tmp_path / "kek").read_bytes()) == (1, before)
    assert [path.name for path in tmp_path.iterdir()] == ["kek"]


# -- The configuration ------------------------------------------------------------------------------


def test_the_table_is_parsed_strictly_and_written_as_it_was_read() -> None:
    table = {"kms": "aws", "key": "alias/nomoat", "region": "eu-central-1"}
    settings = parse_keys(dict(table))
    assert settings == KeySettings("aws", {"key": "alias/nomoat", "region": "eu-central-1"})
    assert settings.dump() == ["", "[keys]", 'kms = "aws"', 'key = "alias/nomoat"', 'region = "eu-central-1"']
    assert parse_keys({"kms": "local"}) == KeySettings()
    for wrong in ({}, {"kms": "gcp"}, {"kms": "aws", "key": "k"}, {**table, "pin": "1"}, {**table, "key": 1}, "aws"):
        with pytest.raises(Exception, match=r"nomoat.toml: \[keys\]"):
            parse_keys(wrong)
