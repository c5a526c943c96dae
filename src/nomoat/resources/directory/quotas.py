"""Quotas and prices in the words of a declaration: parsed strictly, and written back as they were meant.

Rules: an amount that is none, or not exactly what is counted in, is refused. Where cost is limited, what an answer costs
has to be known: a model that is free says so.
"""

import math
from typing import Final

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.inference import MILLION, MOST, Price
from nomoat.core.names import parse_endpoint_name, parse_subject_name
from nomoat.core.quotas import Limit, Measure, Period, Quota, Scope
from nomoat.resources.directory.fields import Table, as_table, text_of, truth_of

LIMITS: Final = {
    "requests_per_minute": (Measure.REQUESTS, Period.MINUTE),
    "requests_per_day": (Measure.REQUESTS, Period.DAY),
    "tokens_per_minute": (Measure.TOKENS, Period.MINUTE),
    "tokens_per_day": (Measure.TOKENS, Period.DAY),
    "cost_per_day": (Measure.COST, Period.DAY),
}
QUOTA_FIELDS: Final = frozenset({"name", "for", "each", "endpoint", "remove", *LIMITS})
LARGEST: Final = 1_000_000_000_000  # requests and tokens of a limit
DEAREST: Final = 1_000_000  # of a price, and of a limit of cost
_PRICE_FIELDS: Final = frozenset({"input", "output"})
_FOR: Final = 'for is "everyone", "person:NAME", "workload:NAME" or "group:NAME"'


def parse_quota(table: Table) -> Quota:
    """A quota. Raises `Malformed`."""
    scope, who = _scope(text_of(table, "for") or Scope.EVERYONE.value)
    each = truth_of(table, "each")
    if each and scope in {Scope.PERSON, Scope.WORKLOAD}:
        raise Malformed(f"each is for groups and everyone: {scope}:{who} is one")
    endpoint = text_of(table, "endpoint")
    limits = tuple(
        Limit(measure, period, _amount(table[field], field, measure))
        for field, (measure, period) in LIMITS.items()
        if field in table
    )
    if not limits:
        raise Malformed(f"it limits nothing; add one of {', '.join(LIMITS)}")
    return Quota(
        name=parse_subject_name(text_of(table, "name")),
        scope=scope,
        who=who,
        each=each,
        endpoint=parse_endpoint_name(endpoint) if endpoint else "",
        limits=limits,
    )


def parse_price(value: object) -> Price | None:
    """What a model costs; None where nobody said. Raises `Malformed`."""
    if value is None:
        return None
    table = as_table(value)
    if table is None or {*table} ^ _PRICE_FIELDS:
        raise Malformed("price is written { input = 3.0, output = 15.0 }: what a million tokens cost")
    return Price(_money(table["input"], "input", 0), _money(table["output"], "output", 0))


def require_counted(directory: Directory) -> None:
    """Raise `Malformed` when a quota is for what is not declared, or limits a cost that nobody stated."""
    known = {Scope.PERSON: directory.people, Scope.WORKLOAD: directory.workloads, Scope.GROUP: directory.groups}
    for quota in directory.quotas.values():
        if quota.scope in known and quota.who not in known[quota.scope]:
            raise Malformed(f"quota {quota.name} is for {quota.scope}:{quota.who}, which is not declared")
        if quota.endpoint and quota.endpoint not in directory.endpoints:
            raise Malformed(f"quota {quota.name} is about {quota.endpoint}, which is no [[endpoint]]")
        if any(limit.measure is Measure.COST for limit in quota.limits):
            _require_prices(directory, quota)


def _require_prices(directory: Directory, quota: Quota) -> None:
    for endpoint in directory.endpoints.values():
        if quota.endpoint in {"", endpoint.name}:
            for served in endpoint.served:
                if served.price is None:
                    raise Malformed(
                        f"quota {quota.name} limits cost, and what {endpoint.name} costs at {served.upstream} is not "
                        "said; add price = { input = …, output = … }, 0 where it is free"
                    )


def described_quota(quota: Quota) -> dict[str, object]:
    """The inverse of `parse_quota`."""
    limits = {(limit.measure, limit.period): limit.most for limit in quota.limits}
    described: dict[str, object] = {
        "name": quota.name,
        "for": f"{quota.scope}:{quota.who}" if quota.who else quota.scope.value,
        "each": quota.each,
        "endpoint": quota.endpoint,
    }
    for field, (measure, period) in LIMITS.items():
        if (most := limits.get((measure, period))) is not None:
            described[field] = most / MILLION if measure is Measure.COST else most
    return described


def described_price(price: Price | None) -> dict[str, object]:
    """The inverse of `parse_price`, as a field; nothing where nobody said."""
    return {} if price is None else {"price": {"input": price.input / MILLION, "output": price.output / MILLION}}


def _scope(text: str) -> tuple[Scope, str]:
    kind, _, name = text.partition(":")
    try:
        scope = Scope(kind)
    except ValueError:
        raise Malformed(_FOR) from None
    if bool(name) is (scope is Scope.EVERYONE) or (":" in text) is not bool(name):
        raise Malformed(_FOR)
    return scope, parse_subject_name(name) if name else ""


def _amount(value: object, field: str, measure: Measure) -> int:
    if measure is Measure.COST:
        return _money(value, field, 1)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
        raise Malformed(f"{field} is a whole number from 1 to {LARGEST:,}")
    return value


def _money(value: object, field: str, least: int) -> int:
    """Millionths. A float of so many digits stands for exactly one number of them."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value <= DEAREST:
        millionths = round(value * MILLION)
        if least <= millionths <= MOST and millionths / MILLION == value:
            return millionths
    raise Malformed(
        f"{field} is a number up to {DEAREST:,} with at most six decimals{', and more than 0' if least else ''}"
    )
