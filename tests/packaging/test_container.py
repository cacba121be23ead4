"""The Dockerfile and compose.yaml agree with the package and with each other. ``make lint`` checks each on its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed import ROOT, SOURCES

from pdadmm_bench import __version__

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def test_what_the_dockerfile_copies_is_the_source_and_is_let_through() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    assert sorted(copied) == sorted([*SOURCES, "constraints.txt"])
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_the_label_has_the_version_of_the_package() -> None:
    assert f'org.opencontainers.image.version="{__version__}"' in DOCKERFILE


def test_the_last_stage_is_the_command() -> None:
    """``docker build`` without a target makes the last stage."""
    assert STAGES[-1] == "bench"


def test_torch_is_for_the_cpu_unless_another_index_is_named(services: dict[str, Any]) -> None:
    (index,) = set(re.findall(r"^ARG TORCH_INDEX=(.+)$", DOCKERFILE, re.MULTILINE))
    assert index == "https://download.pytorch.org/whl/cpu"
    assert services["bench"]["build"]["args"] == {"TORCH_INDEX": "${TORCH_INDEX:-" + index + "}"}


@pytest.mark.parametrize(("index", "installs"), [("cpu", 0), ("cu130", 1)])
def test_an_image_for_gpus_has_a_c_compiler(index: str, installs: int, tmp_path: Path) -> None:
    """The step of the Dockerfile, with a stand-in for the package manager."""
    (step,) = re.findall(r"^RUN (case .+?esac)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    for name in ("apt-get", "rm"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} $* >> {tmp_path}/called\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH_INDEX": f"https://download.pytorch.org/whl/{index}"}
    subprocess.run(["sh", "-c", step], env=environment, check=True)
    called = (tmp_path / "called").read_text() if (tmp_path / "called").exists() else ""
    assert called.count("apt-get install") == called.count(" gcc ") == installs


def test_several_gpus_have_shared_memory(services: dict[str, Any]) -> None:
    """NCCL's transfers on one machine need more than the 64 MB that a container has by itself."""
    assert services["bench"]["shm_size"] == "8gb"
    _, job = yaml.safe_load_all((ROOT / "runners/kubernetes/job.yaml").read_text(encoding="utf-8"))
    pod = job["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mounts["/dev/shm"]]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_compose_starts_things_in_order(services: dict[str, Any]) -> None:
    whole = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    for name, service in services.items():
        if "build" in service:
            assert service["build"]["target"] in STAGES, name
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
