"""The ground everything stands on: errors, typed options, registry, rows, seeds, presets, shared folders, the clock."""

from __future__ import annotations

import errno
import json
import math
import os
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, model_validator

from pdadmm_bench.core import files, presets, registry, rows
from pdadmm_bench.core import resources as share
from pdadmm_bench.core.clock import Clock
from pdadmm_bench.core.errors import UserError, unknown
from pdadmm_bench.core.presets import Preset
from pdadmm_bench.core.registry import Registry
from pdadmm_bench.core.seeds import derive
from pdadmm_bench.core.spec import ModelSpec, run_spec
from pdadmm_bench.core.typed import Typed, build, read_toml
from pdadmm_bench.optim import contenders
from pdadmm_bench.optim import registry as optimizers


class Options(Typed):
    count: int = Field(1, ge=1)
    rate: float = Field(0.5, gt=0)
    kind: Literal["a", "b"] = "a"
    name: str = "x"

    @model_validator(mode="after")
    def _together(self) -> Options:
        if self.kind == "b" and self.count == 1:
            raise ValueError("Two are needed for b")
        return self


def test_unknown_names_the_nearest_first() -> None:
    error = unknown("dataset", "pubmd", ["cora", "pubmed", "citeseer"])
    assert str(error) == "unknown dataset 'pubmd': did you mean pubmed? valid: citeseer, cora, pubmed"
    assert error.exit_code == 2
    assert str(unknown("dataset", "zzz", [])) == "unknown dataset 'zzz': valid: (none)"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cont": 1}, "unknown option 'cont': did you mean count? valid: count, kind, name, rate"),
        ({"count": 0}, "option count=0 is not valid: input should be greater than or equal to 1"),
        ({"count": "x"}, "option count='x' is not valid: input should be a valid integer"),
        ({"count": 1.5}, "option count=1.5 is not valid: input should be a valid integer"),
        ({"rate": -1.0}, "option rate=-1.0 is not valid: input should be greater than 0"),
        ({"rate": math.nan}, "option rate=nan is not valid: input should be a finite number"),
        ({"rate": math.inf}, "option rate=inf is not valid: input should be a finite number"),
        ({"kind": "c"}, "option kind='c' is not valid: input should be 'a' or 'b'"),
        ({"kind": "b"}, "option: two are needed for b"),
        ({"count": 0, "rate": 0}, "option count=0 is not valid: .*; option rate=0 is not valid"),
    ],
)
def test_typed_mistakes(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message.replace('(', '[(]').replace('?', '[?]')}"):
        build(Options, values, "option")


def test_typed_values_are_read_from_text_and_frozen() -> None:
    options = build(Options, {"count": "3", "rate": "1e-3"}, "option")
    assert (options.count, options.rate) == (3, 1e-3)
    with pytest.raises(ValueError, match="frozen"):
        options.count = 4  # type: ignore[misc]


def test_toml_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = 1\nb = ?\n")
    with pytest.raises(UserError, match=r"bad\.toml is not valid TOML: .*line 2"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")
    with pytest.raises(UserError, match="Is a directory"):
        read_toml(tmp_path)


def test_specs_survive_their_flat_form() -> None:
    spec = run_spec({"dataset": "cora", "layers": 3, "optimizer": "adam", "set": {"lr": 0.1}, "seed": 5})
    assert run_spec(spec.flat()) == spec
    with pytest.raises(UserError, match="unknown run option 'layer': did you mean layers"):
        run_spec({"layer": 3})


def test_registry_is_lazy_and_refuses_duplicates(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("far", "json:dumps", "group"), EntryPoint("gone", "no_such_module:thing", "group")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "group" else [])
    names = Registry("thing", "group", {"near": "math:tau", "broken": "math:no_such_name"})
    assert names.names() == ["near", "broken", "far", "gone"]  # nothing of it was imported
    assert names.get("near") == math.tau
    assert names.get("far") is json.dumps
    with pytest.raises(UserError, match="unknown thing 'nea': did you mean near"):
        names.get("nea")
    with pytest.raises(UserError, match=r"thing 'gone' \(no_such_module:thing\) cannot be loaded: No module"):
        names.get("gone")
    with pytest.raises(UserError, match=r"thing 'broken' .* cannot be loaded"):
        names.get("broken")
    names.add("near", "math:tau")
    with pytest.raises(UserError, match="thing 'near' is registered twice: math:tau and math:pi"):
        names.add("near", "math:pi")


def test_a_third_party_cannot_take_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("adam", "theirs:Adam", group)])
    names = Registry("optimizer", "group", {"adam": "ours:Adam"})
    with pytest.raises(UserError, match="registered twice: ours:Adam and theirs:Adam"):
        names.names()


def row(**values: object) -> rows.Row:
    return rows.make_row({"run_id": "1", "status": "ok", **values})


def test_rows_are_complete_and_json() -> None:
    made = row(acc_test_final=math.nan, time_train_s=math.inf, optimizer_lr=0.1)
    assert list(made)[: len(rows.FIXED)] == list(rows.FIXED)
    assert (made["acc_test_final"], made["time_train_s"], made["optimizer_lr"]) == (None, None, 0.1)
    assert made["schema_version"] == rows.SCHEMA_VERSION
    with pytest.raises(ValueError, match="'accuracy' is not a row name"):
        row(accuracy=1)
    with pytest.raises(ValueError, match="status 'fine' is not one of"):
        row(status="fine")
    assert {name for name, status in rows.STATUSES.items() if status.failed} == {"diverged", "error", "oom"}


def test_the_exit_code_is_that_of_the_worst_row() -> None:
    assert rows.exit_code([]) == rows.exit_code([row(status="ok"), row(status="skipped")]) == 0
    assert rows.exit_code([row(status="error"), row(status="ok")]) == 1
    assert rows.exit_code([row(status="error"), row(status="interrupted"), row(status="ok")]) == 130
    with pytest.raises(UserError, match="unknown status 'timeuot': did you mean timeout"):
        rows.status_of({"status": "timeuot"})


def test_rows_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.json"
    written = [row(dataset_name="Ã"), row(status="error")]
    rows.write_rows(path, written)
    assert rows.read_rows(path) == written
    assert [item.name for item in path.parent.iterdir()] == ["rows.json"]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "rows.json")
    rows.write_rows(tmp_path / "link", [])
    assert (tmp_path / "link").is_symlink()
    assert rows.read_rows(tmp_path / "rows.json") == []


def test_a_failed_write_keeps_the_old_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.json"
    rows.write_rows(path, [row()])
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"rows\.json cannot be written: No space left on device"):
        rows.write_rows(path, [row(), row()])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_checking_a_path_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    files.check_writable(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    files.check_writable(path)
    assert path.read_text() == "old"
    with pytest.raises(UserError, match="is not a folder"):
        files.check_writable(path / "rows.json")


@pytest.mark.parametrize("special", [os.devnull, "."])
def test_only_regular_files_are_replaced(special: str) -> None:
    with pytest.raises(UserError, match="it is not a regular file"):
        rows.write_rows(Path(special), [])
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a rows file: it is empty"),
        ('[{"status": "ok",\n"seed"', "it breaks off in line 2, as if it was written in part only"),
        ('[{"status": "o', "it breaks off in line 1"),
        ("[{] 2", "is not a rows file: Expecting property name"),
        ("{}", "expected a JSON array"),
        ("[1]", "expected a JSON array"),
        ('[{"schema_version": 99}]', "rows of schema 99, this program reads schema 1"),
        ("\xff", "is not a rows file"),
    ],
)
def test_foreign_rows_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(UserError, match=message):
        rows.read_rows(tmp_path / "rows.json")
    with pytest.raises(UserError, match="no such rows file"):
        rows.read_rows(tmp_path / "none.json")


def test_seeds_are_the_same_everywhere() -> None:
    assert derive("weights", 0, 3) == 7047235489479597680
    assert derive("split", 7) == 236647063773159105
    assert derive("weights", 0, 31) == 1645024480585503135
    assert 0 <= derive("x") < 2**63


SHIPPED = sorted(
    path for path in (share.roots()[-1] / presets.FOLDER).glob("*/*.toml") if path.parent.name in presets.NAMES
)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_shipped_presets_fit_their_optimizers(path: Path) -> None:
    preset = build(Preset, read_toml(path), path.name)
    assert preset.entry
    known = share.names("datasets")
    for entry in preset.entry:
        assert set(entry.datasets) <= set(known)
        for dataset in entry.datasets or ["pubmed"]:
            model = ModelSpec(layers=entry.layers or 10, hidden=entry.hidden or 256)
            values = presets.resolve(path.parent.name, path.stem, dataset, model)
            assert set(entry.values) <= set(values)
            optimizers.get(path.stem).create(values, path.stem)


def test_every_contender_has_a_default() -> None:
    assert {path.stem for path in SHIPPED if path.parent.name == "default"} == set(contenders())


ENTRIES = """
source = "a test"
[[entry]]
values = { lr = 1.0, momentum = 0.5 }
[[entry]]
datasets = ["cora"]
values = { lr = 2.0 }
[[entry]]
layers = 2
values = { momentum = 0.25 }
"""


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / presets.FOLDER
    for name in ("default", "published"):
        (folder / name).mkdir(parents=True)
    (folder / "default" / "sgd.toml").write_text(ENTRIES)
    (folder / "published" / "sgd.toml").write_text('source = "a test"\n[[entry]]\ndatasets = ["cora"]\nvalues = {}')
    monkeypatch.setenv(share.VARIABLE, str(tmp_path))
    return tmp_path


def test_later_entries_override_key_by_key(overlay: Path) -> None:
    two, ten = ModelSpec(layers=2), ModelSpec(layers=10)
    assert presets.resolve("default", "sgd", "pubmed", ten) == {"lr": 1.0, "momentum": 0.5}
    assert presets.resolve("default", "sgd", "cora", ten) == {"lr": 2.0, "momentum": 0.5}
    assert presets.resolve("default", "sgd", "cora-sbm", two) == {"lr": 2.0, "momentum": 0.25}
    assert presets.resolve("none", "sgd", "cora", two) == {}
    assert presets.resolve("default", "theirs", "cora", two) == {}


def test_values_nobody_published(overlay: Path) -> None:
    model = ModelSpec(layers=3, hidden=7)
    with pytest.raises(
        UserError, match=r"nothing is published for sgd on pubmed with 3 × 7 .*there is: cora with any × any"
    ):
        presets.resolve("published", "sgd", "pubmed", model)
    with pytest.raises(UserError, match="no preset 'published' for optimizer 'theirs'; use --preset default"):
        presets.resolve("published", "theirs", "pubmed", model)
    with pytest.raises(UserError, match="unknown preset 'publishd': did you mean published"):
        presets.resolve("publishd", "sgd", "pubmed", model)


def test_an_overlay_wins_file_by_file(overlay: Path) -> None:
    own = share.roots()[-1]
    assert share.find("runners/tuning/default/sgd.toml") == overlay / "runners/tuning/default/sgd.toml"
    assert share.find("runners/tuning/default/adam.toml") == own / "runners/tuning/default/adam.toml"
    assert share.find("datasets/none.toml") is None
    (overlay / "datasets").mkdir()
    (overlay / "datasets" / "mine.toml").touch()
    assert {"mine", "cora"} < set(share.names("datasets"))


def test_an_overlay_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(share.VARIABLE, "/nowhere")
    with pytest.raises(UserError, match=rf"/nowhere \(--share or {share.VARIABLE}\) is not a folder"):
        share.roots()


def test_the_folders_of_data_hold_no_python() -> None:
    own = share.roots()[-1]
    assert (own / "datasets").is_dir()
    assert [path for folder in share.FOLDERS for path in (own / folder).rglob("*.py")] == []


def test_the_clock_adds_up_apart_and_waits_for_the_device() -> None:
    events: list[str] = []
    times = iter([0.0, 1.0, 1.0, 3.0, 10.0, 10.5])

    def now() -> float:
        events.append("read")
        return next(times)

    clock = Clock(now, lambda: events.append("wait"))
    with clock.measure("train"):
        pass
    with clock.measure("train"):
        pass
    assert clock.last == 2.0
    with pytest.raises(KeyError), clock.measure("evaluate"):
        raise KeyError
    assert clock.seconds == {"train": 3.0, "evaluate": 0.5}
    assert events == ["wait", "read"] * 6
