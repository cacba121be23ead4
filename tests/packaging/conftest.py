"""The package as it is installed from its wheel, once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from installed import Installed
from sharing import made_once


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel, with the packages of the running environment lent, and without a network."""

    def make(folder: Path) -> None:
        installed = Installed(folder)
        installed.build()
        installed.install("--no-index", "--no-deps", str(installed.wheel))
        installed.lend_packages()
        installed.cut_off()

    return Installed(made_once(tmp_path_factory, "installed", make))
