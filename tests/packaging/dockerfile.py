"""The steps of the Dockerfile, made on this machine below a folder of their own; no container engine is needed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 1200
_PATH = re.compile(r"(?<![\w.])/(?:src|wheels|opt/venv|artifacts|cache|data|results)\b")
"""Folders of the image, which a step made here has below the folder that stands for the image's root."""


@dataclass(frozen=True)
class Step:
    """One instruction, with its lines put together."""

    stage: str
    word: str
    value: str


def steps() -> list[Step]:
    """Every instruction of the Dockerfile, with the name of its stage; ``""`` before the first."""
    text = "".join(
        line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines(True) if line[0] not in "#\n"
    )
    found, stage = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        word, _, value = line.strip().partition(" ")
        if word == "FROM":
            stage = value.split(" AS ")[1]
        found.append(Step(stage, word, value.strip()))
    return found


def stage(name: str) -> list[Step]:
    """The steps of one stage, without its FROM."""
    return [step for step in steps() if step.stage == name][1:]


def base(name: str) -> str:
    """What the stage ``name`` starts from."""
    (value,) = (step.value for step in steps() if step.word == "FROM" and step.value.endswith(f" AS {name}"))
    return value.split()[0]


def last(name: str, word: str) -> str:
    """The value of the last instruction ``word`` in a stage or in what it starts from."""
    values = [step.value for step in stage(name) if step.word == word]
    return values[-1] if values else last(base(name), word)


def environment(name: str, root: Path) -> dict[str, str]:
    """What ENV and ARG of the stage ``name`` alone set, for an image whose root is ``root``."""
    pairs = [
        word.partition("=") for step in stage(name) if step.word in ("ENV", "ARG") for word in shlex.split(step.value)
    ]
    return {key: below(value, root) for key, _, value in pairs}


def below(text: str, root: Path) -> str:
    """``text`` with the image's folders moved below ``root``."""
    return _PATH.sub(lambda found: f"{root}{found[0]}", text)


def perform(name: str, root: Path, settings: dict[str, str], lent: str | None = None) -> None:
    """Make the steps of the stage ``name``; raises where a command fails.

    Args:
        name: ``wheel`` or ``environment``; the others change users of the system.
        root: stands for the image's root, and for that of every stage before.
        settings: variables for the commands, over those of the stage.
        lent: packages that are there already in every environment that is made, so that nothing is downloaded.
    """
    variables = {**os.environ, **environment(name, root), **settings}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    folder = root
    for step in stage(name):
        if step.word == "WORKDIR":
            folder = Path(below(step.value, root))
            folder.mkdir(parents=True, exist_ok=True)
        elif step.word == "COPY" and "--from=" not in step.value:
            *sources, target = step.value.split()
            copy(sources, folder / below(target, root), is_folder=target.endswith("/"))
        elif step.word == "RUN":
            command = ["bash", "-euc", below(step.value, root)]
            answer = subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, text=True, timeout=PATIENCE_S
            )
            assert answer.returncode == 0, f"{step.value}\n{answer.stdout}{answer.stderr}"
            for packages in root.glob("opt/venv/lib/python*/site-packages") if lent else ():
                (packages / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")


def copy(sources: list[str], target: Path, *, is_folder: bool) -> None:
    """COPY: files into a folder, or the contents of a folder, of what .dockerignore lets through."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    for source in sources:
        assert source in allowed, f".dockerignore keeps {source} from being copied"
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            assert is_folder
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
