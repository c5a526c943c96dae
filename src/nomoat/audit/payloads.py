"""What receivers of events are sent: OTLP logs, Splunk HEC events, syslog messages.

Rules: pure. Each carries the OCSF event as it is, and the record's number where the receiver can see
it without parsing that. Sources: OTLP 1.7 (logs, JSON encoding), Splunk "Format events for HTTP Event
Collector", RFC 5424 with the framing of RFC 6587, section 3.4.1 (octet counting), as RFC 5425 has it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from nomoat import __version__
from nomoat.audit.events import ReadableRecord
from nomoat.audit.ocsf import event
from nomoat.core.record import Json

_INFO: Final = (9, "INFO")  # OTLP severity numbers
_WARN: Final = (13, "WARN")
_AUDIT: Final = 13 * 8  # syslog facility "log audit" (RFC 5424, table 1)
_WARNING: Final = 4
_INFORMATIONAL: Final = 6
_HIGHEST_SEQUENCE: Final = 2147483647  # RFC 5424, section 7.3.1
_UNPRINTABLE: Final = re.compile(r"[^\x21-\x7e]")


def otlp(records: Sequence[ReadableRecord], origin: str) -> bytes:
    """Return an ExportLogsServiceRequest in JSON (times in nanoseconds are decimal strings there)."""
    logs: list[Mapping[str, Json]] = []
    for record in records:
        told = event(record, origin)
        number, text = _INFO if record.get("decision") != "deny" else _WARN
        logs.append(
            {
                "timeUnixNano": f"{told['time']}000000",
                "severityNumber": number,
                "severityText": text,
                "eventName": f"nomoat.{record.get('what')}",
                "body": {"stringValue": orjson.dumps(told).decode()},
                "attributes": [
                    _attribute("log.record.uid", f"{origin}/{record['n']}"),
                    _attribute("nomoat.record", record["n"]),
                    _attribute("nomoat.decision", str(record.get("decision", ""))),
                    _attribute("ocsf.type_uid", told["type_uid"]),
                ],
            }
        )
    resource = {
        "attributes": [
            _attribute("service.name", "nomoat"),
            _attribute("service.version", __version__),
            _attribute("service.instance.id", str(records[0].get("enforcer", ""))),
        ]
    }
    scope = {"name": "nomoat.audit", "version": __version__}
    return orjson.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": logs}]}]})


def _attribute(name: str, value: Json) -> Mapping[str, Json]:
    # In the JSON encoding of protobuf an int64 is a decimal string.
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def hec(records: Sequence[ReadableRecord], origin: str) -> bytes:
    """Return the body of a request to `/services/collector/event`: JSON objects, one after the other."""
    lines: list[bytes] = []
    for record in records:
        told = event(record, origin)
        time = told["time"]
        envelope = {
            "time": time / 1000 if isinstance(time, int) else None,
            "host": str(record.get("enforcer", "")),
            "source": origin,
            "sourcetype": "nomoat:ocsf",
            "fields": {"nomoat_record": str(record["n"])},
            "event": told,
        }
        lines.append(orjson.dumps(envelope, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def syslog(records: Sequence[ReadableRecord], origin: str) -> bytes:
    """Return RFC 5424 messages in octet-counting frames; their text is the OCSF event, in ASCII."""
    frames: list[bytes] = []
    for record in records:
        told = event(record, origin)
        number = record["n"]
        sequence = number % _HIGHEST_SEQUENCE + 1 if isinstance(number, int) else 1
        severity = _WARNING if record.get("decision") == "deny" else _INFORMATIONAL
        message = (
            f"<{_AUDIT + severity}>1 {record['at']} {_word(record.get('enforcer'), 255)} nomoat - "
            f"{_word(record.get('what') or record.get('kind'), 32)} "
            f'[origin software="nomoat" swVersion="{__version__}"][meta sequenceId="{sequence}"] '
            f"{json.dumps(told, separators=(',', ':'))}"
        ).encode("ascii")
        frames.append(b"%d %s" % (len(message), message))
    return b"".join(frames)


def _word(value: Json, longest: int) -> str:
    """Return a header field of printable ASCII without spaces; `-` for none (NILVALUE)."""
    return _UNPRINTABLE.sub("_", str(value or ""))[:longest] or "-"
