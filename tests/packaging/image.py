"""What the steps of the Dockerfile made, as a container has it: own programs and folders, and no network."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import dockerfile

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
class Image:
    """What the Dockerfile's steps left below ``root``."""

    root: Path

    @property
    def wheel(self) -> Path:
        """The wheel that they installed."""
        (wheel,) = (self.root / "wheels").glob("*.whl")
        return wheel

    @property
    def network_log(self) -> Path:
        """Every attempt of a command to reach another machine; absent if there was none."""
        return self.root / "network.log"

    def variables(self, folder: Path, **settings: str) -> dict[str, str]:
        """The environment of a container: no programs but the image's own, and nothing of the user's."""
        image = dockerfile.environment("runtime", self.root)
        kept = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"PATH": str(self.root / "opt/venv/bin"), "NETWORK_LOG": str(self.network_log), "TMPDIR": str(folder)}
        return {**kept, **image, **own, **settings}

    def run(self, *command: str, folder: Path, **settings: str) -> str:
        """What a command of the image prints, started in ``folder``; it must succeed."""
        program = [self.root / "opt/venv/bin" / command[0], *command[1:]]
        variables = self.variables(folder, **settings)
        answer = subprocess.run(program, cwd=folder, env=variables, capture_output=True, text=True, timeout=200)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout + answer.stderr

    def cut_off(self) -> None:
        """From now on every Python process of the image refuses to look for another machine, and notes the attempt."""
        (packages,) = self.root.glob("opt/venv/lib/python*/site-packages")
        (packages / "alone.py").write_text(ALONE, encoding="utf-8")
        (packages / "alone.pth").write_text("import alone\n", encoding="utf-8")
