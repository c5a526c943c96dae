"""Records as events of the Open Cybersecurity Schema Framework, version 1.8.0 (schema.ocsf.io/1.8.0).

Rules: pure. Every record becomes one event; a kind of record that is not listed here becomes API
Activity, never nothing. `metadata.uid` is the log's name and the record's number, so a receiver knows
a duplicate; `metadata.correlation_uid` names the opening that an outcome ends. What has no attribute
in OCSF stands under `unmapped`. The profiles are ai_operation, datetime and security_control.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from nomoat import __version__
from nomoat.core.record import Json, RecordKind

VERSION: Final = "1.8.0"
PRODUCT: Final[Mapping[str, Json]] = {"name": "NoMoat", "vendor_name": "NoMoat", "version": __version__}

Event: TypeAlias = "dict[str, Json]"
Record: TypeAlias = "Mapping[str, Json]"


class Kind(NamedTuple):
    """An event class and what is done in it."""

    class_uid: int
    activity_id: int


AUTHENTICATION: Final = 3002
ENTITY: Final = 3004
API: Final = 6003
DATASTORE: Final = 6005
_OTHER: Final = 99

_PROFILES: Final[Mapping[int, tuple[str, ...]]] = {
    AUTHENTICATION: ("datetime", "security_control"),
    ENTITY: ("datetime", "security_control"),
    API: ("ai_operation", "datetime", "security_control"),
    DATASTORE: ("ai_operation", "datetime", "security_control"),
}

KINDS: Final[Mapping[str, Kind]] = {
    "DescribeRepository": Kind(DATASTORE, 1),  # Read
    "DescribeFile": Kind(DATASTORE, 1),
    "ReadFile": Kind(DATASTORE, 1),
    "QueryView": Kind(DATASTORE, 4),  # Query
    "ListRepositories": Kind(DATASTORE, 8),
    "ListFiles": Kind(DATASTORE, 8),  # List
    "ListCommits": Kind(DATASTORE, 8),
    "CreateRepository": Kind(DATASTORE, 6),  # Create
    "CreateBranch": Kind(DATASTORE, 6),
    "CreateTag": Kind(DATASTORE, 6),
    "DeleteBranch": Kind(DATASTORE, 7),  # Delete
    "DeleteTag": Kind(DATASTORE, 7),
    "DeleteRepository": Kind(DATASTORE, 7),
    "PlanUpload": Kind(DATASTORE, 5),  # Write
    "GrantUpload": Kind(DATASTORE, 5),
    "UploadBlob": Kind(DATASTORE, 5),
    "WriteFile": Kind(DATASTORE, 5),
    "ListVersions": Kind(DATASTORE, 8),
    "ReadManifest": Kind(DATASTORE, 1),
    "DiffVersions": Kind(DATASTORE, 1),
    "ListEndpoints": Kind(API, 2),  # Read
    "InvokeModel": Kind(API, 99),  # none of the activities is asking a model
    "ReleaseAnswer": Kind(API, 99),
    "ReadContents": Kind(DATASTORE, 1),
    "ListIndexes": Kind(DATASTORE, 8),
    "SearchIndex": Kind(DATASTORE, 4),  # Query
    "ReadPassages": Kind(DATASTORE, 1),
    "WriteDocuments": Kind(DATASTORE, 5),
    "RemoveDocuments": Kind(DATASTORE, 7),
    "ListDocuments": Kind(DATASTORE, 8),
    "ShredDocuments": Kind(ENTITY, 4),  # Delete
    "UploadFile": Kind(DATASTORE, 5),
    "ListUploads": Kind(DATASTORE, 8),
    "RemoveUpload": Kind(DATASTORE, 7),
    "ListMetrics": Kind(DATASTORE, 8),
    "ReadMetric": Kind(DATASTORE, 1),
    "ReopenBudget": Kind(ENTITY, 3),
    "SealCredential": Kind(ENTITY, 3),
    "RegisterValues": Kind(ENTITY, 3),
    "PlantCanary": Kind(ENTITY, 3),
    "ListRegistrations": Kind(ENTITY, 2),
    "RemoveRegistration": Kind(ENTITY, 4),
    "RegisterSource": Kind(ENTITY, 3),
    "ListSources": Kind(ENTITY, 2),
    "RemoveSource": Kind(ENTITY, 4),
    "ApproveVersion": Kind(ENTITY, 3),
    "WithdrawVersion": Kind(ENTITY, 3),
    "ReadLineage": Kind(DATASTORE, 1),
    "LowerLabel": Kind(ENTITY, 3),
    "ReportLoad": Kind(DATASTORE, 1),
    "ShredVersion": Kind(ENTITY, 4),  # Delete
    "RotateKeys": Kind(ENTITY, 3),
    "Authenticate": Kind(AUTHENTICATION, 1),  # Logon
    "RegisterDevice": Kind(AUTHENTICATION, 1),
    "JoinWorkload": Kind(AUTHENTICATION, 1),
    "IssueToken": Kind(AUTHENTICATION, 4),  # Service Ticket Request
    "RenewCertificate": Kind(AUTHENTICATION, 5),  # Service Ticket Renew
    "Enroll": Kind(ENTITY, 6),  # Enroll
    "Revoke": Kind(ENTITY, 7),  # Unenroll
    "ApplyDirectory": Kind(ENTITY, 3),  # Update
    "ApplyPolicy": Kind(ENTITY, 3),
    "TryPolicy": Kind(ENTITY, 3),
    "EraseContent": Kind(ENTITY, 4),  # Delete
    "Whoami": Kind(API, 2),  # Read
    "ValidateCard": Kind(API, 2),
    **dict.fromkeys(
        ("ReadLog", "ReportLog", "ExportLog", "ReadEntries", "ProveRecord", "ProveOwnRecord"), Kind(API, 2)
    ),
    **dict.fromkeys(("ExplainRecord", "SimulatePolicy", "ReadDifferences", "FindUnused"), Kind(API, 2)),
    **dict.fromkeys(("ReadStatus", "ReadPolicy", "ReadKeys", "ReadQuotas", "ReadOwnQuotas"), Kind(API, 2)),
}
"""What each action is. An action that is missing here is API Activity: Other."""

_ENDINGS: Final[Mapping[str, int]] = {"complete": 1, "left": 2, "cut": 2, "failed": 2, "interrupted": 2}
_HANDLED: Final = frozenset(
    ("n", "at", "of", "kind", "what", "decision", "policies", "why", "enforcer", "count", "ms", "outcome")
)
_PLAIN: Final = re.compile(r"[\x00-\x1f\x7f]")


def event(record: Record, origin: str) -> Event:
    """Return the event of a readable record (`nomoat.audit.events`) of the log called `origin`."""
    what, kind = _text(record.get("what")), record.get("kind")
    class_uid, activity = KINDS.get(what, Kind(API, _OTHER))
    at = _milliseconds(_text(record.get("at")))
    made: Event = {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity,
        "activity_name": what or str(kind),
        "type_uid": class_uid * 100 + activity,
        "time": at,
        "time_dt": _text(record.get("at")),
        "metadata": _metadata(record, origin, class_uid),
        "src_endpoint": _source(record),
        "unmapped": {name: value for name, value in record.items() if name not in _HANDLED},
    }
    made |= _decision(record)
    if isinstance(count := record.get("count"), int):
        made["count"] = count
    if isinstance(spent := record.get("ms"), int):
        made["duration"] = spent
    made |= _SHAPES[class_uid](record)
    return made


def _metadata(record: Record, origin: str, class_uid: int) -> Event:
    number, of = record.get("n"), record.get("of")
    metadata: Event = {
        "version": VERSION,
        "product": PRODUCT,
        "uid": f"{origin}/{number}",
        "sequence": number if isinstance(number, int) else -1,
        "log_name": origin,
        "log_provider": _text(record.get("enforcer")),
        "event_code": _text(record.get("what")),
        "profiles": _PROFILES[class_uid],
    }
    if record.get("kind") in {RecordKind.OPENING, RecordKind.OUTCOME}:
        metadata["correlation_uid"] = f"{origin}/{of if isinstance(of, int) else number}"
    return metadata


def _decision(record: Record) -> Event:
    """Return what was decided, or how it ended: action, status and how grave it is."""
    decision, ending = record.get("decision"), _text(record.get("outcome"))
    why = _text(record.get("why")) or _text(record.get("detail"))
    for lost in ("erased", "damaged", "forgotten"):
        why = f"its content is {lost}" if record.get(lost) else why
    # 1 Informational; 3 Medium: a refusal is what somebody should look at when there are many.
    told: Event = {"severity_id": 3 if decision == "deny" or record.get("damaged") else 1}
    if decision == "deny":
        told |= {"action_id": 2, "disposition_id": 2, "status_id": 2}  # Denied, Blocked, Failure
    elif record.get("kind") == RecordKind.OUTCOME:
        told |= {"action_id": 1, "disposition_id": 1, "status_id": _ENDINGS.get(ending, _OTHER), "status": ending}
    elif decision == "allow":
        told |= {"action_id": 1, "disposition_id": 1, "status_id": 1}  # Allowed, Allowed, Success
    else:
        told |= {"action_id": 3, "status_id": 1}  # Observed
    if why:
        told["status_detail"] = why
    policies = record.get("policies")
    if isinstance(policies, (list, tuple)) and policies:
        # One policy is named by `policy`; all of them by the authorizations.
        told["policy"] = {"name": str(policies[0]), "is_applied": True}
        told["authorizations"] = [{"decision": str(decision), "policy": {"name": str(name)}} for name in policies]
    return told


def _source(record: Record) -> Event:
    context = _fields(record.get("context"))
    address = _text(context.get("source"))
    if not address:
        return {"name": _text(record.get("enforcer")) or "gateway"}
    return {"name": address, "ip": address} if _is_address(address) else {"name": address}


def _user(record: Record) -> Event:
    who = _fields(record.get("who"))
    kind, name = _text(who.get("kind")), _text(who.get("name"))
    user: Event = {"type": kind or "unknown", "type_id": _OTHER if kind != "person" else 1}
    # Without its content a record still has the pseudonym of its subject.
    user["name" if name or kind else "uid"] = name or kind or _text(who.get("pseudonym")) or "unknown"
    if identifier := _text(who.get("id")):
        user["uid"] = identifier
    return user


def _actor(record: Record) -> Event:
    actor: Event = {"user": _user(record)}
    if session := _text(_fields(record.get("who")).get("session")):
        actor["session"] = {"uid": session}
    chain = _fields(record.get("who")).get("chain")
    if isinstance(chain, (list, tuple)) and chain:
        actor["invoked_by"] = " < ".join(str(link) for link in chain)
    return actor


def _name(record: Record) -> str:
    on = record.get("on")
    if isinstance(on, Mapping):
        return _text(on.get("name")) or _text(on.get("requested"))
    return _text(on)


def _datastore(record: Record) -> Event:
    on = _fields(record.get("on"))
    name = _name(record)
    bucket: Event = {"name": name or "unknown", "type_id": _OTHER, "type": _text(on.get("kind")) or "unknown"}
    if identifier := _text(on.get("id")):
        bucket["uid"] = identifier
    if version := _text(on.get("version")):
        bucket["version"] = version
    labels = on.get("labels")
    if isinstance(labels, (list, tuple)) and labels:
        bucket["labels"] = [str(label) for label in labels]
    repository = re.split("[@:]", name, maxsplit=1)[0]
    if "/" in repository:
        bucket["namespace"] = repository.partition("/")[0]
    return {"actor": _actor(record), "databucket": bucket, "type_id": 2, "type": "Databucket"}


def _api(record: Record) -> Event:
    made: Event = {"actor": _actor(record), "api": {"operation": _text(record.get("what")) or "unknown"}}
    if name := _name(record):
        made["resources"] = [{"name": name, "type": _text(_fields(record.get("on")).get("kind")) or "unknown"}]
    return made


def _authentication(record: Record) -> Event:
    context = _fields(record.get("context"))
    request = _fields(record.get("request"))
    return {
        "user": _user(record),
        "auth_protocol_id": _OTHER,
        "auth_protocol": _text(context.get("binding")) or "unknown",
        "service": {"name": _text(request.get("protocol")) or "nomoat"},
        "is_remote": True,
    }


def _entity(record: Record) -> Event:
    on = _fields(record.get("on"))
    entity: Event = {"name": _name(record) or "unknown", "type": _text(on.get("kind")) or "unknown"}
    if version := _text(on.get("version")):
        entity["version"] = version
    user = _user(record)
    # The class has no actor of its own without the host profile: who did it stands here, and under `unmapped`.
    return {"entity": entity, "comment": f"by {user['type']} {user.get('name', user.get('uid'))}"}


_SHAPES: Final = {DATASTORE: _datastore, API: _api, AUTHENTICATION: _authentication, ENTITY: _entity}


def _milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _fields(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Json) -> str:
    return _PLAIN.sub(" ", value) if isinstance(value, str) else ""
