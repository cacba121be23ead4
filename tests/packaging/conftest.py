"""The package as it is installed from its wheel, once for all tests of this folder."""

from __future__ import annotations

import pytest
from installed import Installed


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel, with the packages of the running environment lent, and without a network."""
    installed = Installed(tmp_path_factory.mktemp("installed"))
    installed.build()
    installed.install("--no-index", "--no-deps", str(installed.wheel))
    installed.lend_packages()
    installed.cut_off()
    return installed
