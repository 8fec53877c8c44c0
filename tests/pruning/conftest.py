from __future__ import annotations

from typing import cast

import pytest

from edgekit.data.prepared import Prepared
from edgekit.passes import Context


@pytest.fixture
def prepared_none() -> Context:
    """A context without data, for what must not read any."""
    return Context(cast(Prepared, None))
