"""Files that may not be read: tests may run as root, to whom the kernel denies nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Denies files whose name ends so, as mode 0400 does to everybody but root."""
    read = Path.read_text

    def forbid(ending: str) -> None:
        def denied(self: Path, *args: str, **kwargs: str) -> str:
            if self.name.endswith(ending):
                raise PermissionError(13, "Permission denied", str(self))
            return read(self, *args, **kwargs)

        monkeypatch.setattr(Path, "read_text", denied)

    return forbid
