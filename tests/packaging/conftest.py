"""The package as the Dockerfile installs it, once for all tests of this folder."""

from __future__ import annotations

import sysconfig
from importlib.metadata import entry_points

import dockerfile
import pytest
from image import Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The stages wheel and environment, with the packages of the running environment lent, but for this project's own.

    A folder named in a .pth is searched, but its own .pth files are not read; so an editable install stays unseen.
    Scripts are not lent with their packages: the two that compose.yaml and the launchers call are made here.
    """
    root = tmp_path_factory.mktemp("image")
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_NO_WARN_CONFLICTS": "1"}
    dockerfile.perform("wheel", root, offline)
    dockerfile.perform("environment", root, offline, lent=sysconfig.get_path("purelib"))
    for folder in ("artifacts", "cache", "data", "results"):
        (root / folder).mkdir()
    python = root / "opt/venv/bin/python"
    for script in ("mlflow", "torchrun"):
        entry, *_ = entry_points(group="console_scripts", name=script)
        text = f"#!{python}\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
        python.with_name(script).write_text(text, encoding="utf-8")
        python.with_name(script).chmod(0o755)
    image = Image(root)
    image.cut_off()
    return image
