"""Quotas and prices as they are declared: strictly, exactly, and back again."""

import pytest

from nomoat.core.directory import Directory
from nomoat.core.errors import Malformed
from nomoat.core.inference import Price
from nomoat.core.quotas import Limit, Measure, Period, worded
from nomoat.resources.directory.document import dump, load, merge, parse_declarations

BASE = """
[[group]]
name = "g"
[[person]]
name = "p"
[[upstream]]
name = "u"
url = "https://x.example/v1"
[[endpoint]]
name = "e"
served = [{ upstream = "u", model = "m", price = PRICE }]
[[quota]]
name = "q"
"""


def declared(text: str, price: str = "{ input = 0.15, output = 15 }") -> Directory:
    return merge(Directory(), parse_declarations(BASE.replace("PRICE", price) + text))


def test_amounts_are_exact_and_come_back_as_they_were() -> None:
    directory = declared('for = "group:g"\neach = true\nendpoint = "e"\ntokens_per_day = 5\ncost_per_day = 0.000001')
    (quota,) = directory.quotas.values()
    assert quota.limits == (Limit(Measure.TOKENS, Period.DAY, 5), Limit(Measure.COST, Period.DAY, 1))
    assert directory.endpoints["e"].served[0].price == Price(150_000, 15_000_000)
    assert load(dump(directory), directory.generation) == directory
    assert [worded(limit) for limit in quota.limits] == ["5 tokens a day", "a cost of 0.000001 a day"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "limits nothing"),
        ("requests_per_minute = 0", "whole number from 1"),
        ("requests_per_minute = true", "whole number from 1"),
        ("requests_per_minute = 1.5", "whole number from 1"),
        ("tokens_per_day = 10000000000000", "whole number from 1"),
        ("cost_per_day = 0", "more than 0"),
        ("cost_per_day = 0.0000001", "six decimals"),
        ("cost_per_day = inf", "six decimals"),
        ("cost_per_day = nan", "six decimals"),
        ("cost_per_day = -1.0", "six decimals"),
        ('requests_per_day = 1\nfor = "people"', "for is"),
        ('requests_per_day = 1\nfor = "group:"', "for is"),
        ('requests_per_day = 1\nfor = "everyone:x"', "for is"),
        ('requests_per_day = 1\nfor = "everyone:"', "for is"),
        ('requests_per_day = 1\nfor = "agent:x"', "for is"),
        ('requests_per_day = 1\nfor = "group:nobody"', "group:nobody, which is not declared"),
        ('requests_per_day = 1\nfor = "person:nobody"', "person:nobody, which is not declared"),
        ('requests_per_day = 1\nfor = "person:p"\neach = true', "each is for groups"),
        ('requests_per_day = 1\nendpoint = "other"', r"is no \[\[endpoint\]\]"),
        ("requests_per_hour = 1", "no field"),
    ],
)
def test_what_means_nothing_is_refused(text: str, told: str) -> None:
    with pytest.raises(Malformed, match=told):
        declared(text)


@pytest.mark.parametrize(
    "price",
    [
        "3",
        "{ input = 1 }",
        "{ input = 1, output = -1 }",
        "{ input = 1, output = nan }",
        "{ input = 1, output = 1, x = 1 }",
    ],
)
def test_a_price_is_two_numbers(price: str) -> None:
    with pytest.raises(Malformed):
        declared("requests_per_day = 1", price)


def test_a_cost_that_nobody_stated_is_not_limited_in_silence() -> None:
    unpriced = BASE.replace(", price = PRICE", "")
    with pytest.raises(Malformed, match="what e costs at u is not said"):
        merge(Directory(), parse_declarations(f"{unpriced}cost_per_day = 1"))
    free = declared("cost_per_day = 1", "{ input = 0, output = 0 }")
    with pytest.raises(Malformed, match="what f costs at u is not said"):
        merge(free, parse_declarations('[[endpoint]]\nname = "f"\nserved = [{ upstream = "u", model = "m" }]'))


def test_who_has_a_quota_is_not_removed_before_it() -> None:
    directory = declared('for = "person:p"\nrequests_per_day = 1')
    with pytest.raises(Malformed, match="person:p, which is not declared"):
        merge(directory, parse_declarations('[[person]]\nname = "p"\nremove = true'))
