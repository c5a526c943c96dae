"""No sequence of operations lets a revoked, expired or undeclared thing authenticate.

A small reference model keeps, for every credential ever made, what would have to hold for it to be
good. After every step each credential is presented: it must authenticate exactly when the model says so.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nomoat.core.connection import Capability, Credential, OneTimeCode
from nomoat.core.directory import Directory
from nomoat.core.errors import NotFound, Refused, Unauthenticated
from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import UploadBlob
from nomoat.core.principal import Principal
from tests.identity.world import ADA, DECLARED, Actor, World

T = TypeVar("T")

NAMES = (ADA, "bob", "train")
UPLOAD = UploadBlob(RepositoryName(RepositoryKind.DATASET, "acme", "digits"), "ab" * 32, 100)


@dataclass(eq=False)
class ModelDevice:
    name: str
    revoked: bool = False


@dataclass(eq=False)
class ModelSession:
    name: str
    device: ModelDevice | None
    expires_at: float
    revoked: bool = False


@dataclass(eq=False)
class ModelCode:
    name: str
    credential: OneTimeCode
    expires_at: float
    session: ModelSession | None = None
    revoked: bool = False


@dataclass(eq=False)
class Held:
    """A credential of a session, as somebody may keep it for ever."""

    credential: Credential | None
    certificate: bytes | None
    session: ModelSession
    expires_at: float
    spent: bool = False


@dataclass(eq=False)
class Enrolled:
    """An actor and the session that the model says is theirs."""

    actor: Actor
    session: ModelSession


@dataclass
class Model:
    sessions: dict[str, ModelSession] = field(default_factory=dict)
    devices: dict[str, ModelDevice] = field(default_factory=dict)
    codes: list[ModelCode] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    enrolled: list[Enrolled] = field(default_factory=list)

    def end_device(self, device: ModelDevice) -> None:
        device.revoked = True
        for session in self.sessions.values():
            if session.device is device:
                session.revoked = True

    def end_subject(self, name: str) -> None:
        for device in self.devices.values():
            device.revoked |= device.name == name
        for session in self.sessions.values():
            session.revoked |= session.name == name
        for code in self.codes:
            code.revoked |= code.name == name and code.session is None


class Life(RuleBasedStateMachine):
    """Operations in any order, by anybody, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="nomoat-model-"))
        self.loop = asyncio.new_event_loop()
        self.world = World.create(self.directory)
        self.model = Model()

    def teardown(self) -> None:
        self.run(self.world.identity.sessions.settle())
        self.loop.close()
        self.world.state.close()
        shutil.rmtree(self.directory)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def attempt(self, credential: Credential | None, certificate: bytes | None = None) -> Principal | None:
        """Authenticate inside the loop, as the server does."""

        async def present() -> Principal | None:
            try:
                return self.world.authenticate(credential, certificate)
            except Unauthenticated:
                return None

        return self.run(present())

    def declared(self, name: str) -> bool:
        return name in self.world.directory.people or name in self.world.directory.workloads

    def alive(self, session: ModelSession) -> bool:
        return not session.revoked and self.world.now < session.expires_at and self.declared(session.name)

    def enter(self, actor: Actor) -> None:
        """Take note of what was issued."""
        name = actor.issued.subject.partition(":")[2]
        device = None
        if actor.issued.device:
            device = self.model.devices.setdefault(actor.issued.device, ModelDevice(name))
        life = 3600 if device is None else 12 * 3600
        session = self.model.sessions.setdefault(
            actor.issued.session, ModelSession(name, device, self.world.now + life)
        )
        if device is None:
            session.expires_at = self.world.now + life
        end = min(self.world.now + 3600, session.expires_at)
        assert actor.issued.expires_at == end
        self.model.held.append(Held(None, actor.connection.certificate, session, end))
        self.model.enrolled.append(Enrolled(actor, session))

    # -- What people and workloads do ------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES))
    def enroll(self, name: str) -> None:
        try:
            code = self.run(self.world.code(name))
        except NotFound:
            assert not self.declared(name)
            return
        self.model.codes.append(ModelCode(name, code, self.world.now + 600))

    @precondition(lambda self: self.model.codes)
    @rule(data=st.data())
    def redeem(self, data: st.DataObject) -> None:
        code = data.draw(st.sampled_from(self.model.codes))
        good = code.session is None and not code.revoked and self.world.now < code.expires_at
        try:
            actor = self.run(self.world.redeem(code.credential))
        except Unauthenticated:
            assert not (good and self.declared(code.name))
            if code.session is not None:  # the second use: whoever presents it, and whether declared or not
                if code.session.device is None:
                    code.session.revoked = True
                else:
                    self.model.end_device(code.session.device)
            return
        assert good
        assert self.declared(code.name)
        self.enter(actor)
        code.session = self.model.sessions[actor.issued.session]

    @precondition(lambda self: self.model.enrolled)
    @rule(data=st.data(), bound=st.booleans())
    def ask_for_a_token(self, data: st.DataObject, bound: bool) -> None:
        chosen = data.draw(st.sampled_from(self.model.enrolled))
        certificate = chosen.actor.connection.certificate
        who = self.attempt(None, certificate)
        if who is not None:
            issued = self.world.identity.issue_token(who, bound=bound)
            end = min(self.world.now + 900, chosen.session.expires_at)
            assert issued.expires_at == end
            credential = self.world.token(chosen.actor, bound=bound)
            if bound:
                end = min(end, chosen.actor.issued.expires_at)
            self.model.held.append(Held(credential, certificate if bound else None, chosen.session, end))

    @precondition(lambda self: self.model.enrolled)
    @rule(data=st.data())
    def ask_for_an_upload(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.model.enrolled))
        who = self.attempt(None, chosen.actor.connection.certificate)
        if who is not None:
            credential = Capability(self.world.identity.grant_upload(who, UPLOAD))
            self.model.held.append(Held(credential, None, chosen.session, self.world.now + 3600))

    @precondition(lambda self: any(isinstance(held.credential, Capability) for held in self.model.held))
    @rule(data=st.data())
    def upload(self, data: st.DataObject) -> None:
        uploads = [held for held in self.model.held if isinstance(held.credential, Capability)]
        chosen = data.draw(st.sampled_from(uploads))
        who = self.attempt(chosen.credential)
        if who is not None:
            self.world.identity.consume_upload(who)
            for held in uploads:
                held.spent |= held.session is chosen.session

    @precondition(lambda self: self.model.enrolled)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.model.enrolled))
        if self.attempt(None, chosen.actor.connection.certificate) is not None:
            self.enter(self.run(self.world.renew(chosen.actor)))

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), restart=st.booleans())
    def renew_by_device_key(self, data: st.DataObject, restart: bool) -> None:
        people = [enrolled for enrolled in self.model.enrolled if enrolled.session.device is not None]
        chosen = data.draw(st.sampled_from(people))
        device = chosen.session.device
        assert device is not None
        of_device = [session for session in self.model.sessions.values() if session.device is device]
        good = not device.revoked and self.declared(device.name)
        try:
            assertion = self.world.assertion(chosen.actor)
            actor = self.run(self.world.renew(chosen.actor, assertion, restart=restart))
        except Refused:
            assert not (good and (restart or self.alive(of_device[-1])))
            return
        assert good
        assert (actor.issued.session in self.model.sessions) != restart
        self.enter(actor)

    # -- What administrators and the world do ------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 59, 61, 599, 899, 1800, 3599, 3600, 8 * 3600]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds

    @rule(name=st.sampled_from(NAMES))
    def revoke_subject(self, name: str) -> None:
        kind = "workload" if name in DECLARED.workloads else "person"
        live = {
            key
            for key, session in self.model.sessions.items()
            if session.name == name and not session.revoked and self.world.now < session.expires_at
        }
        try:
            done = self.run(self.world.identity.revoke(kind, name))
            ended = done.sessions & done.anew
        except NotFound:  # neither declared nor holding anything: there was nothing to end
            ended = frozenset()
        assert live <= ended
        self.model.end_subject(name)

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data())
    def revoke_device(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.model.devices)))
        try:
            self.run(self.world.identity.revoke("device", key))
        except NotFound:
            assert self.model.devices[key].revoked  # forgotten by a restart, because it was revoked
        self.model.end_device(self.model.devices[key])

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data())
    def revoke_session(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.model.sessions)))
        session = self.model.sessions[key]
        try:
            self.run(self.world.identity.revoke("session", key))
        except NotFound:
            assert session.revoked or self.world.now >= session.expires_at
        session.revoked = True

    @rule(name=st.sampled_from(NAMES))
    def remove_from_the_directory(self, name: str) -> None:
        people = {key: person for key, person in self.world.directory.people.items() if key != name}
        workloads = {key: job for key, job in self.world.directory.workloads.items() if key != name}
        self.world.directory = Directory(self.world.directory.generation + 1, people=people, workloads=workloads)

    @rule(retained=st.booleans())
    def declare_everybody_again(self, retained: bool) -> None:
        if retained:
            self.run(self.world.identity.retain())
            for name in NAMES:
                if not self.declared(name):
                    self.model.end_subject(name)
        self.world.directory = replace(DECLARED, generation=self.world.directory.generation + 1)

    @rule()
    def restart_the_gateway(self) -> None:
        self.run(self.world.identity.sessions.settle())
        self.world.restart()
        for held in self.model.held:
            held.spent |= isinstance(held.credential, Capability)

    # -- What must always hold -----------------------------------------------------------------------------

    @invariant()
    def every_credential_is_good_exactly_when_it_should_be(self) -> None:
        for held in self.model.held:
            good = self.alive(held.session) and self.world.now < held.expires_at and not held.spent
            who = self.attempt(held.credential, held.certificate)
            assert (who is not None) == good, held
            if who is not None:
                assert who.name == held.session.name
                assert self.world.now < who.expires_at <= held.session.expires_at
                assert self.world.identity.authenticator.refresh(who) == who

    @invariant()
    def every_unspent_code_is_good_exactly_when_it_should_be(self) -> None:
        for code in self.model.codes:
            if code.session is None:
                good = not code.revoked and self.world.now < code.expires_at and self.declared(code.name)
                assert (self.attempt(code.credential) is not None) == good


TestLife = pytest.mark.filterwarnings("error")(Life.TestCase)
TestLife.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
