"""The package as it is installed from its wheel: an environment of its own, without a source tree and a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE",
    "pdadmm_bench", "datasets", "runners", "reports",
)  # fmt: skip
"""What a wheel is made of; the Dockerfile copies the same."""
ALONE = """\
import os, sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = arguments[1][0] if event == "socket.connect" and isinstance(arguments[1], tuple) else arguments[0]
        if isinstance(host, str) and host not in ("localhost", "127.0.0.1", "::1"):
            with open(os.environ["NETWORK_LOG"], "a") as log:
                log.write(f"{event} {host}\\n")
            raise OSError(f"no network here: {host}")

sys.addaudithook(hook)
"""


@dataclass(frozen=True)
class Installed:
    """The folders of an installation below ``root``: the copied source, the wheel and the virtual environment."""

    root: Path

    @property
    def source(self) -> Path:
        """The source tree that the wheel was built from."""
        return self.root / "src"

    @property
    def wheel(self) -> Path:
        """The wheel that is installed."""
        (wheel,) = (self.root / "wheels").glob("*.whl")
        return wheel

    @property
    def programs(self) -> Path:
        """The folder of the programs of the environment."""
        return self.root / "venv/bin"

    @property
    def packages(self) -> Path:
        """The folder of the packages of the environment."""
        (packages,) = self.root.glob("venv/lib/python*/site-packages")
        return packages

    @property
    def network_log(self) -> Path:
        """Every attempt of a command to reach another machine; absent if there was none."""
        return self.root / "network.log"

    def build(self) -> None:
        """Make the wheel from a copy of the source."""
        self.source.mkdir()
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, self.source)
        _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(self.root / "wheels"), str(self.source))

    def install(self, *options: str) -> None:
        """Install the wheel into a new environment; ``options`` are pip's."""
        venv.create(self.root / "venv", symlinks=True, with_pip=False)
        for folder in ("artifacts", "cache"):
            (self.root / folder).mkdir()
        _pip("--python", str(self.programs / "python"), "install", *options)

    def lend_packages(self) -> None:
        """Make the packages of the running environment importable, except for an editable install of this project.

        Python searches a folder that is named in a .pth file, but does not read the .pth files in it. Scripts are not
        lent with their packages: the one that compose.yaml calls is made here.
        """
        (self.packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        entry, *_ = entry_points(group="console_scripts", name="mlflow")
        script = self.programs / "mlflow"
        code = f"import sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
        script.write_text(f"#!{self.programs / 'python'}\n{code}", encoding="utf-8")
        script.chmod(0o755)

    def cut_off(self) -> None:
        """From now on every Python process of the environment refuses to look for another machine, and notes it."""
        (self.packages / "alone.py").write_text(ALONE, encoding="utf-8")
        (self.packages / "alone.pth").write_text("import alone\n", encoding="utf-8")

    def variables(self, folder: Path, **settings: str) -> dict[str, str]:
        """The variables of a command: no programs but those of the environment, and nothing of the user's."""
        kept = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "LD_LIBRARY_PATH") if name in os.environ}
        cache = str(self.root / "cache")
        own = {"PATH": str(self.programs), "HOME": cache, "PDADMM_BENCH_CACHE": cache, "GIT_PYTHON_REFRESH": "quiet"}
        return {**kept, **own, "NETWORK_LOG": str(self.network_log), "TMPDIR": str(folder), **settings}

    def run(self, *command: str, folder: Path, **settings: str) -> str:
        """What a command of the environment prints, started in ``folder``; it must succeed."""
        program = [self.programs / command[0], *command[1:]]
        variables = self.variables(folder, **settings)
        answer = subprocess.run(program, cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE_S)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S)
    assert answer.returncode == 0, answer.stdout + answer.stderr
