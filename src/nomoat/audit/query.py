"""The filter language of `audit search`: a few words, all of which must hold.

    on NAME           the thing (acme/digits, acme/digits:metrics.json), in any version, and what is in it
    by KIND|NAME      person, workload, unauthenticated, system; ann@acme.example; person:ann@acme.example
    what ACTION       ReadFile, Revoke, …
    allowed, refused  the decision; `refused` finds what was allowed, too, and whose content was then refused
    label NAME        a label of the thing
    session ID        one session
    found RULE        what was found in a prompt or an answer: secret:aws-access-key, or secret for all of them
    upstream NAME     the server that a prompt was sent to
    since AGE|TIME    90s, 15m, 12h, 7d, 4w; or 2026-11-22, 2026-11-22T19:31Z
    until AGE|TIME    the same: up to then
    record N          one record

Rules: pure. A word nobody knows is refused with its position, never ignored: a filter that silently
did not apply would make an auditor believe in a wrong answer. Names with spaces stand in "quotes".
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from nomoat.core.errors import Malformed
from nomoat.core.operation import OPERATIONS, InvokeModel
from nomoat.core.record import Json

QUERY_LIMIT: Final = 2000
SYSTEM_ACTIONS: Final = frozenset(
    {
        *("Authenticate", "Initialize", "Start", "Stop", "Recover", "AcceptOlderState", "StateAdvanced"),
        *("LogOpened", "LogClosed", "LogOutage", "WitnessDisagrees", "WitnessSilent", "WitnessBack"),
        *(
            "RemoveContents",
            "ScanContents",
            "ForgetContent",
            "ForwardLog",
            "ForwardRefused",
            "AcceptOlderCopy",
            "Restore",
            "RewrapKeys",
            "DestroyKey",
        ),
    }
)
"""What stands for an action in records that are of no Operation."""
FORMER_ACTIONS: Final = frozenset({"SummarizeLog"})
"""What earlier versions called an action that has no such name now: their records stay searchable."""
SENDS: Final = InvokeModel.action
"""What sends something to a server; how it ended says which that was."""
_TOKEN: Final = re.compile(r'"([^"]*)"|(\S+)')
_AGE: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()  # west of Greenwich the calendar ends later
_VERSION: Final = re.compile(r"^([^:@]*)@[^:]*")  # an identity has a colon before its '@'
_INSIDE: Final = ("@", ":", " ")

ReadableRecord = Mapping[str, Json]


class _Token(NamedTuple):
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed filter. `since` and `until` are in Unix seconds; an empty word, None, `since` 0 filter nothing."""

    on: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    what: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    since: float = 0.0
    record: int | None = None
    labels: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    until: float | None = None
    found: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()

    @property
    def earliest(self) -> str:
        """`since` as records write times, which sort as text."""
        return _written(self.since)

    @property
    def latest(self) -> str:
        """`until` in the same way; without one, what sorts behind every time."""
        return "~" if self.until is None else _written(self.until)

    def matches_entry(self, number: int, what: str, decision: str, ended: str = "") -> bool:
        """Whether what stands in the leaf entry may match; the rest needs the content.

        `ended` is the decision of the entry of its outcome: `deny` where a content was refused.
        """
        return (
            (self.record is None or number == self.record)
            and all(word == what for word in self.what)
            and (what == SENDS or not self.upstreams)
            and all(word in {decision, ended} for word in self.decisions)
        )

    def matches_content(self, record: ReadableRecord) -> bool:
        """Whether the readable record matches, whatever became of it."""
        return (
            all(_is_on(record, name) for name in self.on)
            and all(_is_by(record, name) for name in self.by)
            and all(label in labels_of(record) for label in self.labels)
            and all(_is_of(record, session) for session in self.sessions)
            and all(wanted in found_in(record) for wanted in self.found)
        )

    def matches_ending(self, ended: ReadableRecord) -> bool:
        """Whether how it ended matches, as the record of that says; of an access that goes on, nothing does."""
        return all(upstream == upstream_of(ended) for upstream in self.upstreams)


def parse_query(text: str, now: float) -> Query:
    """Parse a filter; ages count back from `now` (Unix seconds).

    Raises `Malformed`, which says at which position what was expected.
    """
    if len(text) > QUERY_LIMIT:
        raise Malformed(f"a query has at most {QUERY_LIMIT} characters")
    tokens = iter(
        _Token(found[1] if found[1] is not None else found[2], found.start() + 1) for found in _TOKEN.finditer(text)
    )
    words: dict[str, list[str]] = {name: [] for name in ("on", "by", "what", "label", "session", "found", "upstream")}
    decisions: list[str] = []
    since, until, record = 0.0, None, None
    for token in tokens:
        if token.text == "what":
            words["what"].append(_parse_action(_argument(tokens, token, "an action")))
        elif token.text in words:
            words[token.text].append(_argument(tokens, token, "a name").text)
        elif token.text in _DECISIONS:
            decisions.append(_DECISIONS[token.text])
        elif token.text == "since":
            since = max(since, _parse_since(_argument(tokens, token, "an age or a time"), now))
        elif token.text == "until":
            moment = _parse_since(_argument(tokens, token, "an age or a time"), now)
            until = moment if until is None else min(until, moment)
        elif token.text == "record":
            record = _parse_number(_argument(tokens, token, "a number"))
        else:
            raise Malformed(
                f"at position {token.position}: {token.text[:40]!r} is no word of a query "
                "(on NAME, by KIND or NAME, what ACTION, allowed, refused, label NAME, session ID, found RULE, upstream NAME, "
                "since or until AGE or TIME, record N)"
            )
    return Query(
        on=tuple(words["on"]),
        by=tuple(words["by"]),
        what=tuple(words["what"]),
        decisions=tuple(decisions),
        since=since,
        record=record,
        labels=tuple(words["label"]),
        sessions=tuple(words["session"]),
        until=until,
        found=tuple(words["found"]),
        upstreams=tuple(words["upstream"]),
    )


def _written(at: float) -> str:
    """Write Unix seconds so that they sort among the times of records."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


_DECISIONS: Final = {"allowed": "allow", "refused": "deny"}


def _argument(tokens: Iterator[_Token], word: _Token, expected: str) -> _Token:
    found = next(tokens, None)
    if found is None:
        raise Malformed(f"at position {word.position}: after '{word.text}' comes {expected}")
    return found


def _parse_action(token: _Token) -> str:
    known = {*OPERATIONS, *SYSTEM_ACTIONS, *FORMER_ACTIONS}
    if token.text in known:
        return token.text
    folded = {action.lower(): action for action in known}
    close = difflib.get_close_matches(token.text[:40].lower(), sorted(folded), n=1)
    meant = f"did you mean {folded[close[0]]}?" if close else f"there are {', '.join(sorted(known))}"
    raise Malformed(f"at position {token.position}: {token.text[:40]!r} is no action; {meant}")


def _parse_since(token: _Token, now: float) -> float:
    if age := _AGE.fullmatch(token.text):
        return max(0.0, now - int(age[1]) * _UNITS[age[2]])
    try:
        moment = datetime.fromisoformat(token.text)
    except ValueError:
        raise Malformed(
            f"at position {token.position}: {token.text[:40]!r} is no age (90s, 15m, 12h, 7d, 4w) and no time "
            "(2026-11-22, 2026-11-22T19:31Z)"
        ) from None
    return min(max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()), _LATEST)


def _parse_number(token: _Token) -> int:
    if not (token.text.isascii() and token.text.isdigit() and len(token.text) <= 18):
        raise Malformed(f"at position {token.position}: {token.text[:40]!r} is no record's number")
    return int(token.text)


def _is_on(record: ReadableRecord, wanted: str) -> bool:
    return any(_is_within(name, wanted) for name in names_of(record))


def unversioned(name: str) -> str:
    """Return a thing's name without its version: `acme/digits@3f9c:a` is `acme/digits:a`.

    An identity has none: `person:ann@acme.example` stays whole.
    """
    return _VERSION.sub(r"\1", name)


def labels_of(record: ReadableRecord) -> tuple[str, ...]:
    """Return the labels of what a record is on, as they were at the time."""
    on = record.get("on")
    labels = on.get("labels") if isinstance(on, Mapping) else None
    listed = labels if isinstance(labels, Sequence) and not isinstance(labels, str) else ()
    return tuple(label for label in listed if isinstance(label, str))


def found_in(record: ReadableRecord) -> frozenset[str]:
    """Return the rules of what was found, and all that they are kinds of: `secret:aws-access-key` is a `secret`."""
    asked = record.get("asked")
    rules = asked.get("found") if isinstance(asked, Mapping) else None
    return kinds_of(rules) if isinstance(rules, str) else frozenset()


def kinds_of(rules: str) -> frozenset[str]:
    """Return rules with spaces between them, one by one, and all that they are kinds of."""
    parts = [rule.split(":") for rule in rules.split()]
    return frozenset(":".join(each[: end + 1]) for each in parts for end in range(len(each)))


def upstream_of(ended: ReadableRecord) -> str:
    """Return the server that a prompt was sent to, by the record of how that ended; '' for none."""
    facts = ended.get("facts")
    upstream = facts.get("upstream") if isinstance(facts, Mapping) else None
    return upstream if isinstance(upstream, str) else ""


def names_of(record: ReadableRecord) -> Iterator[str]:
    """Yield every name that a record says it is on."""
    on, everything = record.get("on"), record.get("all")
    if isinstance(on, str):
        yield on
    if isinstance(on, Mapping):
        yield from (value for key in ("name", "requested") if isinstance(value := on.get(key), str))
    names = everything.get("names") if isinstance(everything, Mapping) else None
    if isinstance(names, Sequence):
        yield from (name for name in names if isinstance(name, str))


def _is_within(name: str, wanted: str) -> bool:
    return any(
        candidate == wanted or (candidate.startswith(wanted) and candidate[len(wanted)] in _INSIDE)
        for candidate in (name, unversioned(name))
    )


def _is_by(record: ReadableRecord, wanted: str) -> bool:
    who = record.get("who")
    if not isinstance(who, Mapping):
        return False
    kind, name = who.get("kind"), who.get("name")
    return wanted in (kind, name, f"{kind}:{name}")


def _is_of(record: ReadableRecord, session: str) -> bool:
    who = record.get("who")
    return isinstance(who, Mapping) and who.get("session") == session
