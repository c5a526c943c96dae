"""Rules for secrets: what has a form of its own by that, what is called a password by its name and its entropy."""

import math
import re
from collections import Counter
from typing import Final

from nomoat.content.rules import Family, Rule, Span
from nomoat.core.content import Finding
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

LABEL: Final = Label(Classification.CONFIDENTIAL, frozenset({"secret"}))
LONGEST_KEY: Final = 16 << 10  # bytes of a private key in PEM; RSA with 16,384 bits has 12,700
_B64URL: Final = "[A-Za-z0-9_-]"
_PLACEHOLDERS: Final = re.compile(
    rb"^[$<{%*]|^\.{0,2}/[a-z]|^https?:|example|changeme|change[_-]me|xxxx|\*\*\*|\.\.\.|your[_-]?|placeholder|redacted|dummy|12345678",
    re.IGNORECASE,
)
_RUNS: Final = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+|\d+")
SHORT_RUN: Final = 2.2
LONG_RUN: Final = 5.0
"""Characters of a kind in a row, on average: by chance there are about two, in words and names three or more."""
_BEGINS: Final = re.compile(rb"[A-Za-z]{2}(?!.*\d{5})", re.DOTALL)
_NAMES_OF_ONE: Final = frozenset({b"password", b"passwd", b"pass", b"secret", b"user", b"token", b"xxxx", b"pass123"})
_NAMED: Final = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credential|(?:api|access|auth|account|private|signing|encryption)"
    r"[_.\-]?key)"
)
_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "


def _entropy(value: bytes) -> float:
    """Bits a character (Shannon), of 8 that are possible."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())


def _random(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """What has letters and digits, and no pattern that a person would see."""
    value = text[start:end]
    if not re.search(rb"\d", value) or not re.search(rb"[A-Za-z]", value) or _entropy(value) < 3.3:
        return None
    return start, end


def _value(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The value of something that is called a secret, if it looks like one."""
    value = text[start:end]
    if len(value) < 8 or _PLACEHOLDERS.search(value):
        return None
    runs = _RUNS.findall(value)
    together = sum(map(len, runs)) / max(1, len(runs))
    if not re.search(rb"\d", value):
        by_chance = len(value) >= 12 and together < SHORT_RUN
    else:
        by_chance = re.search(rb"[A-Za-z]", value) is not None and not (_BEGINS.match(value) and together >= LONG_RUN)
    return (start, end) if by_chance and _entropy(value) >= (2.75 if len(value) < 16 else 3.0) else None


def _password(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The password of a connection string, unless it stands for one."""
    value = text[start:end].lower()
    return None if len(value) < 4 or value in _NAMES_OF_ONE or value[:1] in b"$<{%*" else (start, end)


_FORMS: Final = (
    Rule("aws-access-key", r"AKIA[A-Z2-7]{16}|\b(?:ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    Rule("gcp-api-key", rf"AIza{_B64URL}{{35}}"),
    Rule("gcp-oauth", rf"GOCSPX-{_B64URL}{{28}}|ya29\.{_B64URL}{{30,}}"),
    Rule("azure-storage-key", r"(?i:AccountKey|SharedAccessKey)=(?:[A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)"),
    Rule("azure-sas", r"(?:\?|&)sig=[A-Za-z0-9%+/]{40,}(?:%3[Dd]|=)"),
    Rule("azure-client-secret", r"[A-Za-z0-9_~.\-]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}"),
    Rule("github-token", r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}"),
    Rule("gitlab-token", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.\-]{20,}"),
    Rule("slack-token", r"xox[abeoprs]-[A-Za-z0-9\-]{10,}|xapp-[0-9]-[A-Za-z0-9\-]{10,}", _random),
    Rule("slack-webhook", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_\-]{20,}"),
    Rule("stripe-key", r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}=*"),
    Rule("anthropic-key", rf"\bsk-ant-{_B64URL}{{20,}}", _random),
    Rule("openai-key", rf"\bsk-{_B64URL}{{20,}}", _random),
    Rule("huggingface-token", r"\b(?:hf_|api_org_)[A-Za-z0-9]{34,}", _random),
    Rule("npm-token", r"\bnpm_[A-Za-z0-9]{36}", _random),
    Rule("pypi-token", rf"pypi-AgE{_B64URL}{{50,}}"),
    Rule("sendgrid-key", rf"SG\.{_B64URL}{{22}}\.{_B64URL}{{43}}"),
    Rule("twilio-key", r"\bSK[0-9a-f]{32}\b"),
    Rule("telegram-token", rf"\b[0-9]{{8,10}}:AA{_B64URL}{{33}}"),
    Rule("digitalocean-token", r"do[opr]_v1_[a-f0-9]{64}"),
    Rule("databricks-token", r"\bdapi[a-f0-9]{32}"),
    Rule("vault-token", rf"\bhv[sbr]\.{_B64URL}{{24,}}", _random),
    Rule("docker-token", rf"dckr_[po]at_{_B64URL}{{27,}}"),
    Rule("grafana-token", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    Rule("shopify-token", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    Rule("replicate-token", r"\br8_[A-Za-z0-9]{37}\b"),
    Rule("groq-key", r"\bgsk_[A-Za-z0-9]{50,}"),
    Rule("age-key", r"AGE-SECRET-KEY-1[A-Z0-9]{58}"),
    Rule("nomoat-code", r"\bnm[pw]-[a-z2-7]{32}-[a-z2-7]{52}"),
    Rule("jwt", rf"\beyJ{_B64URL}{{10,}}\.eyJ{_B64URL}{{10,}}\.{_B64URL}{{10,}}"),
)
_CONNECTION: Final = Rule(
    "connection-string", r"\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s:@/?#\"'<>]*:([^\s@/\"'<>]+)@", _password
)
_HEADER: Final = Rule(
    "authorization",
    r"(?i:authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?i:bearer|basic|token)\s{1,3}([A-Za-z0-9._~+/\-]{16,}=*)",
    _random,
)
_ASSIGNED: Final = Rule(
    "assigned",
    rf"(?i:{_NAMED})[A-Za-z0-9_.\-]{{0,24}}[\"']?\s{{0,3}}(?:=>|:=|==?|:)\s{{0,3}}"
    r"(?:[rbu]?\"([^\s\"]{8,})\"|[rbu]?'([^\s']{8,})'|([^\s\"'`,;(){}\[\]<>]{8,}))",
    _value,
)


def _finding(name: str) -> Finding:
    return Finding(f"secret:{name}", LABEL, redactable=True)


FAMILIES: Final = tuple(
    Family([(rule, _finding(rule.name)) for rule in rules]) for rules in (_FORMS, [_CONNECTION], [_HEADER], [_ASSIGNED])
)
TOKENS: Final = FAMILIES[:1]
PRIVATE_KEY: Final = _finding("private-key")
NAMES: Final = tuple(
    f"secret:{name}" for name in (*(rule.name for rule in (*_FORMS, _CONNECTION, _HEADER, _ASSIGNED)), "private-key")
)


def private_keys(text: bytes) -> list[Span]:
    """Private keys in PEM and PGP's armour, from the first line to the last, or as far as one may be long."""
    found: list[Span] = []
    at = text.find(_BEGIN)
    while at >= 0:
        line = text[at : at + 100].partition(b"\n")[0]
        until = at + len(_BEGIN)
        if b"PRIVATE KEY" in line:
            end = text.find(_END, until, at + LONGEST_KEY)
            until = min(len(text), at + LONGEST_KEY) if end < 0 else _line_end(text, end)
            found.append(Span(at, until, PRIVATE_KEY))
        at = text.find(_BEGIN, until)
    return found


def _line_end(text: bytes, at: int) -> int:
    end = text.find(b"-----", at + len(_END), at + 100)
    return end + 5 if end >= 0 else min(len(text), at + 100)
