"""What a profile keeps is its owner's alone, whole or not there, and refused when others could read it."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomoat.client.errors import BadProfile, NotLoggedIn, Unwritable
from nomoat.client.profiles import Identity, Profile, all_profiles, parse_profile_name
from nomoat.core.errors import Malformed

IDENTITY = Identity(
    "https://gateway.example", "acme.example", "person:ann@acme.example", "spiffe://acme.example/x", "d1", "s1", "key"
)


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    made = Profile.named("work", {"NOMOAT_HOME": str(tmp_path / "home")})
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_and_directories_are_private_whatever_the_umask(profile: Profile) -> None:
    before = os.umask(0)
    try:
        profile.create()
        profile.write("device.key", b"secret")
        profile.write("hub/token", b"token")
        profile.keep_identity(IDENTITY)
        with profile.locked():
            pass
    finally:
        os.umask(before)
    assert {mode(path) for path in profile.directory.rglob("*") if path.is_file()} == {0o600}
    assert {mode(path) for path in (profile.directory, profile.token_path.parent)} == {0o700}


@pytest.mark.parametrize("wider", [0o640, 0o604, 0o620])
def test_a_file_that_others_could_touch_is_refused_and_the_cure_is_named(profile: Profile, wider: int) -> None:
    profile.keep_identity(IDENTITY)
    (profile.directory / "profile.toml").chmod(wider)
    with pytest.raises(BadProfile) as caught:
        profile.identity()
    assert caught.value.advice == f"chmod 600 {profile.directory / 'profile.toml'}"


def test_a_reader_never_sees_half_a_file(profile: Profile) -> None:
    profile.write("hub/token", b"old")
    before = profile.token_path.stat().st_ino
    profile.write("hub/token", b"new")
    assert profile.token_path.read_bytes() == b"new"
    assert profile.token_path.stat().st_ino != before, "written in place: a reader could see half of it"
    assert [path.name for path in profile.token_path.parent.iterdir()] == ["token"]


def test_a_failed_write_leaves_the_old_file_and_no_draft(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    profile.write("checkpoint", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unwritable, match="No space"):
        profile.write("checkpoint", b"new")
    assert profile.read("checkpoint") == b"old"
    assert sorted(path.name for path in profile.directory.iterdir()) == ["checkpoint", "hub"]


def test_an_unfinished_log_in_is_no_log_in(profile: Profile) -> None:
    profile.write("device.key", b"secret")
    with pytest.raises(NotLoggedIn):
        profile.identity()


@pytest.mark.parametrize("text", ["", "nonsense = 1", "url = 3", "[", "\xff"])
def test_a_damaged_profile_is_refused(profile: Profile, text: str) -> None:
    profile.write("profile.toml", text.encode("latin-1"))
    with pytest.raises(BadProfile):
        profile.identity()


@given(st.text(alphabet=st.characters(codec="utf-8")).filter(str.isprintable))
def test_every_printable_identity_survives_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("profile")
    profile = Profile("p", directory)
    identity = Identity("https://x", "acme.example", text, text, text, text, text)
    profile.keep_identity(identity)
    assert profile.identity() == identity


def test_control_characters_are_never_written(profile: Profile) -> None:
    with pytest.raises(Malformed):
        profile.keep_identity(Identity("https://x", "a", 'x"\nurl = "https://evil', "", "", "", ""))


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "..", "", "a" * 70, "-x", "a\n", "a..b"])
def test_a_profile_s_name_cannot_leave_its_directory(name: str) -> None:
    with pytest.raises(Malformed):
        parse_profile_name(name)


def test_where_profiles_live() -> None:
    assert Profile.named("", {"HOME": "/h", "XDG_CONFIG_HOME": "/x"}).directory == Path("/x/nomoat/profiles/default")
    assert Profile.named("", {"NOMOAT_HOME": "/n", "NOMOAT_PROFILE": "p"}).directory == Path("/n/profiles/p")
    assert Profile.named("q", {"NOMOAT_HOME": "/n", "NOMOAT_PROFILE": "p"}).directory == Path("/n/profiles/q")


def test_only_finished_profiles_are_listed(tmp_path: Path) -> None:
    environment = {"NOMOAT_HOME": str(tmp_path)}
    assert all_profiles(environment) == []
    for name in ("b", "a", "unfinished"):
        profile = Profile.named(name, environment)
        profile.create()
        if name != "unfinished":
            profile.keep_identity(IDENTITY)
    assert [profile.name for profile in all_profiles(environment)] == ["a", "b"]
