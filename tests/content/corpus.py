"""Made-up secrets and personal data, as they stand in real ones' places: what each rule has to find."""

import base64
import random
import string

ALNUM = string.ascii_letters + string.digits
URL = ALNUM + "-_"
UPPER = string.ascii_uppercase + "234567"
LOWER32 = string.ascii_lowercase + "234567"
HEX = "0123456789abcdef"
CHANCE = random.Random(5)  # noqa: S311  # the same corpus each time


def of(letters: str, many: int) -> str:
    """So many letters by chance, a digit and letters of both kinds among them where there are any."""
    kinds = [kind for kind in (string.digits, string.ascii_letters) if set(kind) & set(letters)]
    while True:
        made = "".join(CHANCE.choices(letters, k=many))
        if many < 8 or all(set(kind) & set(made) for kind in kinds):
            return made


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def pem(kind: str, lines: int = 12) -> str:
    body = "\n".join(of(ALNUM + "+/", 64) for _ in range(lines))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


def secrets() -> dict[str, list[str]]:
    """By the name of the rule, values that it has to find."""
    return {
        "aws-access-key": [prefix + of(UPPER, 16) for prefix in ("AKIA", "ASIA")],
        "gcp-api-key": ["AIza" + of(URL, 34) + "x"],
        "gcp-oauth": ["GOCSPX-" + of(URL, 28), "ya29." + of(URL, 60)],
        "azure-storage-key": ["AccountKey=" + of(ALNUM + "+/", 86) + "=="],
        "azure-sas": ["?sig=" + of(ALNUM, 43) + "%3D"],
        "azure-client-secret": [of(ALNUM, 3) + "8Q~" + of(ALNUM, 34)],
        "github-token": [f"gh{kind}_" + of(ALNUM, 36) for kind in "pousr"] + ["github_pat_" + of(ALNUM + "_", 82)],
        "gitlab-token": ["glpat-" + of(URL, 20), "glrt-" + of(URL, 20)],
        "slack-token": [f"xoxb-{of(string.digits, 12)}-{of(ALNUM, 24)}", f"xapp-1-{of(UPPER, 11)}-{of(HEX, 64)}"],
        "slack-webhook": [f"https://hooks.slack.com/services/T{of(UPPER, 8)}/B{of(UPPER, 8)}/{of(ALNUM, 24)}"],
        "stripe-key": ["sk_live_" + of(ALNUM, 24), "rk_test_" + of(ALNUM, 99), "whsec_" + of(ALNUM, 32)],
        "anthropic-key": ["sk-ant-api03-" + of(URL, 93) + "AA"],
        "openai-key": ["sk-proj-" + of(URL, 120) + "a", "sk-" + of(ALNUM, 20) + "T3BlbkFJ" + of(ALNUM, 20)],
        "huggingface-token": ["hf_" + of(ALNUM, 34)],
        "npm-token": ["npm_" + of(ALNUM, 36)],
        "pypi-token": ["pypi-AgEIcHlwaS5vcmc" + of(URL, 150) + "a"],
        "sendgrid-key": [f"SG.{of(URL, 22)}.{of(URL, 42)}a"],
        "twilio-key": ["SK" + of(HEX, 32)],
        "telegram-token": [f"{of(string.digits, 7)}123:AA{of(URL, 32)}a"],
        "digitalocean-token": ["dop_v1_" + of(HEX, 64)],
        "databricks-token": ["dapi" + of(HEX, 32)],
        "vault-token": ["hvs." + of(URL, 90) + "a"],
        "docker-token": ["dckr_pat_" + of(URL, 26) + "a"],
        "grafana-token": [f"glsa_{of(ALNUM, 32)}_{of(HEX, 8)}"],
        "shopify-token": ["shpat_" + of(HEX, 32)],
        "replicate-token": ["r8_" + of(ALNUM, 37)],
        "groq-key": ["gsk_" + of(ALNUM, 52)],
        "age-key": ["AGE-SECRET-KEY-1" + of(UPPER, 58)],
        "nomoat-code": [f"nmp-{of(LOWER32, 32)}-{of(LOWER32, 52)}"],
        "jwt": [f"eyJ{b64(of(ALNUM, 20))}.eyJ{b64(of(ALNUM, 60))}.{of(URL, 85)}a"],
        "private-key": [
            pem(kind) for kind in ("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK")
        ],
    }


def passwords() -> dict[str, list[str]]:
    """Values that nothing but their entropy tells, by what they are made of."""
    chance = random.Random(11)  # noqa: S311
    kinds = {
        "letters and digits": ALNUM,
        "with symbols": ALNUM + "!#%&?+*-_",
        "hexadecimal": HEX,
        "base32": LOWER32,
    }
    sizes = (12, 16, 20, 24, 32, 40)
    return {
        kind: ["".join(chance.choices(letters, k=size)) for size in sizes for _ in range(50)]
        for kind, letters in kinds.items()
    }


def luhn(body: str) -> str:
    """A number with its check digit."""
    total = sum(sum(divmod(int(each) * (2 - place % 2), 10)) for place, each in enumerate(reversed(body)))
    return body + str(-total % 10)


def cards() -> list[str]:
    """Numbers of cards, together and in groups."""
    made = [luhn(prefix + of(string.digits, size - len(prefix) - 1)) for prefix, size in CARDS for _ in range(5)]
    return [*made, *(f"{each[:4]} {each[4:8]} {each[8:12]} {each[12:]}" for each in made if len(each) == 16)]


CARDS = (("4", 16), ("51", 16), ("2300", 16), ("37", 15), ("6011", 16), ("3530", 16), ("62", 16))
IBANS = (
    *("DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NL91ABNA0417164300"),
    *("CH9300762011623852957", "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "AT611904300234573201"),
)
PHONES = (
    *("+49 170 1234567", "+1 (212) 456-7890", "+442079460958", "+33 1 42 68 53 00", "+41 44 668 18 00"),
    *("+91-98765-43210", "+81 3-1234-5678", "(415) 456-7890", "+351 21 000 1234", "+8613812345678"),
)
ADDRESSES = ("93.184.216.34", "8.8.123.4", "2001:4860:4860::8888", "2a00:1450:4001:81b::200e")
MAILS = (
    *("jane.doe@contoso.de", "j@x.io", "first+tag@sub.mail.company.co.uk", "o_k-x%1@a-b.museum"),
    *("MAX.MUSTERMANN@WEB.DE", "x.y@z.tech"),
)
IDS = {
    "us-ssn": ("123-45-6789", "899-12-3456"),
    "br-cpf": ("529.982.247-25", "111.444.777-35"),
    "ch-ahv": ("756.9217.0769.85",),
    "fi-hetu": ("131052-308T",),
    "es-dni": ("12345678Z", "X1234567L"),
    "it-codice-fiscale": ("RSSMRA85M01H501Q",),
    "uk-nino": ("AB123456C",),
    "fr-nir": ("2 55 08 14 168 025 38", "255081416802538"),
    "cn-id": ("11010519491231002X",),
}


def personal() -> dict[str, list[str]]:
    """By the name of the rule, values that it has to find."""
    spaced = [" ".join(each[at : at + 4] for at in range(0, len(each), 4)) for each in IBANS]
    return {
        "email": [*MAILS],
        "payment-card": cards(),
        "iban": [*IBANS, *spaced],
        "phone": [*PHONES],
        "ip-address": [*ADDRESSES],
        **{name: [*values] for name, values in IDS.items()},
    }


FRAMES = ("{}", "it is {}, I think", '"{}"', "x: {}\nnext line", "({})", "<{}>", "see {}.", "a,{},b")
"""What may stand around a value."""
