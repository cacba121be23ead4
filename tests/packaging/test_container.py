"""The Dockerfile and compose.yaml, without a container engine: checked, and their commands run on this machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import dockerfile
import pytest
import yaml
from dockerfile import ROOT
from image import Image

from pdadmm_bench import __version__

TOOLS = Path(sys.executable).parent


def check(*command: str | Path) -> None:
    """A checker has nothing to say."""
    answer = subprocess.run([TOOLS / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def labels() -> dict[str, str]:
    (text,) = (step.value for step in dockerfile.stage("runtime") if step.word == "LABEL")
    return dict(word.split("=", 1) for word in shlex.split(text))


def test_the_linter_has_nothing_to_say() -> None:
    check("hadolint", "--failure-threshold", "style", "Dockerfile")


def test_the_image_is_slim_and_nobody_is_root() -> None:
    bases = [step.value.split()[0] for step in dockerfile.steps() if step.word == "FROM"]
    assert set(bases) == {"python:${PYTHON}-slim", "runtime"}
    for target in ("ui", "bench"):
        assert int(dockerfile.last(target, "USER")) > 0
    copies = [step.value for step in dockerfile.stage("runtime") if step.word == "COPY"]
    assert copies == ["--from=environment /opt/venv /opt/venv"]  # no source, no compiler, no pip


def test_torch_is_for_the_cpu_unless_another_index_is_named(services: dict[str, Any]) -> None:
    (index,) = (step.value for step in dockerfile.stage("environment") if step.word == "ARG")
    assert index == "TORCH_INDEX=https://download.pytorch.org/whl/cpu"
    assert services["bench"]["build"]["args"] == {"TORCH_INDEX": "${TORCH_INDEX:-" + index.partition("=")[2] + "}"}


def test_the_label_has_the_version_of_the_package() -> None:
    assert labels()["org.opencontainers.image.version"] == __version__
    assert labels()["org.opencontainers.image.licenses"] == "MIT"


def test_the_last_stage_is_the_command(image: Image, tmp_path: Path) -> None:
    """``docker build`` without a target makes the last stage, and ``docker run`` without arguments tells the verbs."""
    assert [step.value for step in dockerfile.steps() if step.word == "FROM"][-1] == "runtime AS bench"
    command = [*json.loads(dockerfile.last("bench", "ENTRYPOINT")), *json.loads(dockerfile.last("bench", "CMD"))]
    assert "Usage: pdadmm-bench" in image.run(*command, folder=tmp_path)
    ui = [*json.loads(dockerfile.last("ui", "ENTRYPOINT")), *json.loads(dockerfile.last("ui", "CMD"))]
    assert "--host" in image.run(*ui[:2], "--help", folder=tmp_path)


def test_compose_fits_its_schema() -> None:
    check("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_compose_starts_things_in_order(services: dict[str, Any]) -> None:
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    stages = {step.stage for step in dockerfile.steps()}
    for name, service in services.items():
        if "build" in service:
            assert service["build"]["target"] in stages, name
        for mount in service.get("volumes", []):
            volume = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", mount).split(":")[0]
            assert volume in whole["volumes"], mount
    assert services["mlflow"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["bench"]["depends_on"] == {"mlflow": {"condition": "service_healthy"}}
    assert "healthcheck" in services["database"]
    assert services["mlflow"]["build"]["target"] == "ui"  # has the health check
    assert services["bench"]["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    for port in services["mlflow"]["ports"]:
        assert port.startswith("127.0.0.1:")


def test_compose_has_no_password_of_its_own(services: dict[str, Any]) -> None:
    """It must be given: an error where it is not, and never a default that everybody knows."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert services["database"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    assert set(re.findall(r"\$\{POSTGRES_PASSWORD([^}]*)\}", text)) == {":?set it in a file .env", ""}
