"""Rules for personal data: what is one by its form, and by its check digits where it has some.

Rules: what nobody can have is nobody's: addresses under names that are reserved for examples (RFC 2606), addresses of
networks that are not public, numbers that were never given out.
"""

import ipaddress
import re
from typing import Final

from nomoat.content.rules import Family, Rule
from nomoat.core.content import Finding
from nomoat.core.lineage import Label
from nomoat.core.names import Classification

LABEL: Final = Label(Classification.INTERNAL, frozenset({"personal"}))
_RESERVED: Final = re.compile(r"(?:^|\.)(?:example\.(?:com|net|org)|example|test|invalid|localhost|local)$")
_FILES: Final = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|css|js|ts|py|md|txt|csv|html|json|ya?ml|toml|lock|xml|ini|cfg|log|sh|so)$"
)
"""Endings of file names, which stand behind an `@` in the names of versions and images."""
_NOBODY: Final = frozenset({"git", "noreply", "no-reply", "user", "username", "name", "email", "you", "hg"})
_CALLING: Final = re.compile(
    rb"1|7|2[07]|2[1-69]\d|3[0-469]|3[578]\d|4[013-9]|42\d|5[1-8]|5[09]\d|6[0-6]|6[7-9]\d|8[1246]|8[058]\d|9[0-58]|9[679]\d"
)
_IBAN: Final = dict[str, int](
    AD=24, AE=23, AL=28, AT=20, AZ=28, BA=20, BE=16, BG=22, BH=22, BR=29, BY=28, CH=21, CR=22, CY=28, CZ=24, DE=22,
    DK=18, DO=28, EE=20, EG=29, ES=24, FI=18, FO=18, FR=27, GB=22, GE=22, GI=23, GL=18, GR=27, GT=28, HR=21, HU=28,
    IE=22, IL=23, IQ=23, IS=26, IT=27, JO=30, KW=30, KZ=20, LB=28, LC=32, LI=21, LT=20, LU=20, LV=21, LY=25, MC=27,
    MD=24, ME=22, MK=19, MR=27, MT=31, MU=30, NL=18, NO=15, PK=24, PL=28, PS=29, PT=25, QA=29, RO=24, RS=22, SA=24,
    SC=31, SE=24, SI=19, SK=24, SM=27, ST=25, SV=28, TL=23, TN=24, TR=26, UA=29, VA=22, VG=24, XK=20,
)  # fmt: skip
"""Characters of an account number in each country (the registry of ISO 13616)."""
_GROUPS: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)})
_WORD: Final = re.compile(rb"[A-Za-z0-9_]")


def _alone(text: bytes, start: int, end: int, *, of: bytes = b"") -> bool:
    """Whether no letter or digit adjoins, nor one of `of` with a letter or digit beyond it."""
    before, after = text[max(0, start - 2) : start][::-1], text[end : end + 2]
    return not any(_WORD.match(each) or (each[:1] in of and _WORD.match(each[1:])) for each in (before, after) if each)


def _email(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    local, _, domain = text[start:end].decode("ascii").lower().partition("@")
    before = text[max(0, start - 200) : start]
    if local in _NOBODY or _RESERVED.search(domain) or _FILES.search(domain) or ".." in domain:
        return None
    # The user's name and password of an address are no mailbox.
    return None if re.search(rb"://[^\s/\"'<>]*[:.]?$", before) else (start, end)


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(each), 10)) for each in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_card(digits: str) -> bool:
    """Whether a number is of a length that its issuer gives out (ISO/IEC 7812), and its check digit is right."""
    size, four = len(digits), int(digits[:4])
    issued = (
        (digits[0] == "4" and size in {16, 19})
        or ((51_00 <= four < 56_00 or 2221 <= four <= 2720 or four == 6011 or 6440 <= four < 6600) and size == 16)
        or (3528 <= four <= 3589 and size == 16)
        or (digits[:2] in {"34", "37"} and size == 15)
        or ((digits[:2] in {"36", "38", "39"} or 3000 <= four <= 3059) and size == 14)
        or (digits[:2] == "62" and 16 <= size <= 19)
    )
    return issued and len(set(digits)) > 1 and _luhn(digits)


def _card(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """The first card in a run of digits in groups."""
    if not _alone(text, start, end, of=b".-"):
        return None
    groups = list(re.finditer(rb"\d+", text[start:end]))
    for first, group in enumerate(groups):
        if len(group[0]) >= 14 and _is_card(group[0].decode()):
            return start + group.start(), start + group.end()
        for many in (3, 4, 5):
            taken = groups[first : first + many]
            if tuple(len(each[0]) for each in taken) in _GROUPS and _is_card(b"".join(e[0] for e in taken).decode()):
                return start + group.start(), start + taken[-1].end()
    return None


def _iban(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """An account number: as long as its country has them, its remainder by 97 one (ISO 7064)."""
    size = _IBAN.get(text[start : start + 2].decode("ascii").upper())
    at, taken = start, ""
    while size is not None and at < end and len(taken) < size:
        taken += text[at : at + 1].decode("ascii").strip().upper()
        at += 1
    if size is None or len(taken) < size or not _alone(text, start, at):
        return None
    return (start, at) if int("".join(str(int(each, 36)) for each in taken[4:] + taken[:4])) % 97 == 1 else None


def _phone(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    end -= text[end - 1 : end] == b")"
    said = text[start:end]
    if not _alone(text, start, end, of=b".+-/*)]"):
        return None
    if not said.startswith(b"+"):
        return start, end
    digits = re.sub(rb"\D", b"", said)
    parted = re.search(rb"[ ()\-]", said) or said.count(b".") > 1  # a number has one point
    spread = len(set(digits)) > 3 and digits not in b"12345678901234567890"
    return (start, end) if _CALLING.match(digits) and spread and len(digits) >= (9 if parted else 11) else None


def _ip(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    """A public address; four small numbers are a version."""
    try:
        address = ipaddress.ip_address(text[start:end].decode("ascii"))
    except ValueError:
        return None
    small = address.version == 4 and max(address.packed) < 32
    if small or not address.is_global or address.is_multicast or not _alone(text, start, end, of=b".:-"):
        return None
    return start, end


def _ssn(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    area, group, serial = text[start:end].split(b"-")
    given = area not in {b"000", b"666"} and area < b"900" and group != b"00" and serial != b"0000"
    return (start, end) if given and _alone(text, start, end, of=b"-.") else None


def _cpf(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    digits = [int(each) for each in re.sub(rb"\D", b"", text[start:end]).decode()]
    right = all(
        sum(digit * (size + 1 - place) for place, digit in enumerate(digits[:size])) * 10 % 11 % 10 == digits[size]
        for size in (9, 10)
    )
    return (start, end) if right and len(set(digits)) > 1 and _alone(text, start, end) else None


def _ahv(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    digits = [int(each) for each in re.sub(rb"\D", b"", text[start:end]).decode()]
    right = sum(digit * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0
    return (start, end) if right and _alone(text, start, end) else None


def _dni(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    said = text[start:end].decode("ascii").replace("-", "")
    number = int(str("XYZ".index(said[0])) + said[1:-1] if said[0] in "XYZ" else said[:-1])
    right = "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == said[-1] and number
    return (start, end) if right and _alone(text, start, end, of=b".+-") else None


_ODD: Final = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21) * 2 + (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True)
)  # fmt: skip


def _codice(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    said = text[start:end].decode("ascii").upper()
    total = sum(_ODD[each] for each in said[0:15:2])
    total += sum(int(each) if each.isdigit() else ord(each) - 65 for each in said[1:15:2])
    return (start, end) if chr(65 + total % 26) == said[15] and _alone(text, start, end) else None


def _nir(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    said = text[start:end].decode("ascii").replace(" ", "")
    number = int(said[:13].replace("2A", "19").replace("2B", "18"))
    return (start, end) if 97 - number % 97 == int(said[13:]) and _alone(text, start, end, of=b".-") else None


def _hetu(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    said = text[start:end].decode("ascii")
    right = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(said[:6] + said[7:10]) % 31] == said[10]
    return (start, end) if right and _alone(text, start, end) else None


def _resident(text: bytes, start: int, end: int) -> tuple[int, int] | None:
    said = text[start:end].decode("ascii").upper()
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(said[:17]))
    return (start, end) if "10X98765432"[total % 11] == said[17] and _alone(text, start, end, of=b".-") else None


_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_RULES: Final = (
    [
        Rule(
            "email",
            r"[A-Za-z0-9][A-Za-z0-9._%+\-]*@[A-Za-z0-9](?:[A-Za-z0-9\-]*\.)+[A-Za-z]{2,24}\b",
            _email,
        )
    ],
    [Rule("payment-card", r"[0-9](?:[ -]?[0-9]){13,}", _card)],
    [Rule("iban", r"\b[A-Za-z]{2}[0-9]{2}(?: ?[A-Za-z0-9]){11,30}", _iban)],
    [
        Rule("phone", r"\+[1-9](?:[ .\-]?\(?[0-9]\)?){7,14}", _phone),
        Rule("phone", r"\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}", _phone),
    ],
    [
        Rule("ip-address", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", _ip),
        Rule("ip-address", r"[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2,35}[0-9a-fA-F]", _ip),
    ],
    [
        Rule("us-ssn", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", _ssn),
        Rule("br-cpf", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", _cpf),
        Rule("ch-ahv", r"\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b", _ahv),
        Rule("fi-hetu", rf"\b{_DAY}{_MONTH}[0-9]{{2}}[-+A-F][0-9]{{3}}[0-9A-FHJ-NPR-Y]\b", _hetu),
        Rule("es-dni", r"\b(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-HJ-NP-TV-Z]\b", _dni),
        Rule("it-codice-fiscale", r"\b[A-Z]{6}[0-9]{2}[ABCDEHLMPRST][0-9]{2}[A-Z][0-9]{3}[A-Z]\b", _codice),
        Rule("uk-nino", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]\b"),
    ],
    [
        Rule(
            "fr-nir", rf"\b[12] ?[0-9]{{2}} ?{_MONTH} ?(?:[0-9]{{2}}|2[AB]) ?[0-9]{{3}} ?[0-9]{{3}} ?[0-9]{{2}}\b", _nir
        ),
        Rule("cn-id", rf"\b[1-9][0-9]{{5}}(?:19|20)[0-9]{{2}}{_MONTH}{_DAY}[0-9]{{3}}[0-9Xx]\b", _resident),
    ],
)

FAMILIES: Final = tuple(
    Family([(rule, Finding(f"personal:{rule.name}", LABEL, redactable=True)) for rule in rules]) for rules in _RULES
)
NAMES: Final = tuple(dict.fromkeys(f"personal:{rule.name}" for rules in _RULES for rule in rules))
