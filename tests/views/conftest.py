"""One gateway for the tests of views."""

from collections.abc import Generator

import pytest

from tests.cli.live import Live
from tests.views.world import Desk, furnish


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    root = tmp_path_factory.mktemp("views")
    with Live(root / "gateway") as live:
        yield furnish(live, root)
