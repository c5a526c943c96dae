"""Views as a resource: which files of a version they are made of."""

from nomoat.core.names import RepositoryKind, RepositoryName
from nomoat.core.operation import QueryView
from nomoat.core.principal import PrincipalKind
from tests.resources.world import Yard, in_yard

ORDERS = RepositoryName(RepositoryKind.DATASET, "acme", "orders")
DECLARED = """
[[group]]
name = "data-engineers"
[[person]]
name = "olga"
groups = ["data-engineers"]
clearance = "internal"
[[dataset]]
name = "acme/orders"
classification = "internal"
owner = "group:data-engineers"
  [[dataset.views]]
  name = "numbers"
  files = ["data/*.csv"]
  columns = ["n"]
"""


@in_yard
async def test_a_file_that_is_called_like_its_format_is_one_of_it(there: Yard) -> None:
    """Whoever could write one had every query of the view fail."""
    await there.world.declare(DECLARED)
    await there.create(ORDERS)
    await there.write(ORDERS, {"data/.csv": b"n\n1\n", "data/a.csv": b"n\n2\n"})
    owner = await there.world.joined(PrincipalKind.PERSON, "olga")
    asked = QueryView(ORDERS, "numbers", "main", "FROM numbers")
    async with (
        there.guard.admit(owner.present(), asked) as permit,
        there.world.gateway.views.query(permit) as answer,
    ):
        assert answer.rows == 2
