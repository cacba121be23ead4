"""``predict``: the cost model's table, marked as predicted, without training, and without measuring given rates."""

from __future__ import annotations

from pathlib import Path

import pytest
from shell import Answer, Cli, rows_of

from pdadmm_bench.core.typed import read_toml
from pdadmm_bench.timing import machine, predict

RATES = ("--flops", "1e9", "--memory-bandwidth", "1e30", "--bandwidth", "1e6", "--latency", "0")
NETWORK = ("--layers", "4", "--hidden", "10", "--rows", "100", "--features", "10", "--classes", "10")
FIELDS = {
    "predicted", "optimizer_name", "schedule", "dist_workers", "time_iteration_median_s", "speedup", "efficiency",
    "time_exposed_share", "bytes_per_boundary", "memory_state_bytes",
}  # fmt: skip


def test_it_predicts_what_one_computes_by_hand(cli: Cli, folder: Path) -> None:
    """Products of 20 µs: 2 in the first layer, 4 in each other. Messages of 100 × 10 × 4 bytes take 4 ms at 1 MB/s."""
    arguments = ("predict", "--workers", "1,2", "--partition", "2,2", *NETWORK, *RATES, "--json", "rows.json")
    answer = cli(*arguments)
    assert answer.code == 0, answer.err
    single, double = rows_of(folder / "rows.json")
    assert single["time_iteration_median_s"] == pytest.approx(14 * 20e-6)
    # Two layers each and none between: v is exposed whole, to the right worker, which has 8 products.
    assert double["dist_partition"] == "2,2"
    assert double["time_iteration_median_s"] == pytest.approx(8 * 20e-6 + 4e-3)
    assert double["speedup"] == pytest.approx(14 * 20e-6 / (8 * 20e-6 + 4e-3))
    assert double["efficiency"] == pytest.approx(double["speedup"] / 2)
    assert double["time_exposed_share"] == pytest.approx(4e-3 / (8 * 20e-6 + 4e-3))
    assert double["bytes_per_boundary"] == 2 * 100 * 10 * 4
    assert single["bytes_per_boundary"] == 0


def test_rows_are_shared_and_gradients_summed(cli: Cli, folder: Path) -> None:
    """50 rows halve the products. A worker sends 2(R − 1)/R of the gradients, and those of the last layer show."""
    meshes = ("--mesh", "rows", "--mesh", "layers=2,rows=2")
    options = ("--workers", "1,2,4", "--partition", "2,2", "--optimizer", "adam", "--microbatches", "1", *meshes)
    answer = cli("predict", *options, *NETWORK, *RATES, "--json", "rows.json")
    assert answer.code == 0, answer.err
    _, two, four, both = rows_of(folder / "rows.json")
    assert [row["dist_mesh"] for row in (two, four, both)] == [
        "layers=1,rows=2", "layers=1,rows=4", "layers=2,rows=2",
    ]  # fmt: skip
    gradients = 4 * 4 * 10 * 11
    assert (two["dist_reduced_bytes"], four["dist_reduced_bytes"]) == (2 * gradients, 6 * gradients)
    computing = 11 * 10e-6  # 2 products in the first layer and 3 in each other, of 50 rows
    assert two["time_iteration_median_s"] == pytest.approx(
        computing + max(gradients / 4, gradients - computing * 1e6) / 1e6
    )
    assert (two["schedule"], two["bytes_per_boundary"]) == (None, 0)
    assert (both["schedule"], both["bytes_per_boundary"]) == ("gpipe", 2 * 100 * 10 * 4)
    assert both["dist_reduced_bytes"] == 2 * gradients


def test_one_of_several_workers_has_the_rates_of_a_busy_machine(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of 20 µs alone and of 40 µs where two processes compute, which share the memory of the machine."""
    monkeypatch.setattr(machine, "product_rate", lambda *network: 1e9)
    monkeypatch.setattr(machine, "memory_rate", lambda *network: 1e30)
    monkeypatch.setattr(machine, "rates_at_once", lambda processes, *network: (1e9 / processes, 1e30))
    monkeypatch.setattr(predict, "cores", lambda: 2)
    links = ("--bandwidth", "1e30", "--latency", "0")
    options = ("predict", "--workers", "1,2", "--partition", "2,2", *NETWORK, *links)
    answer = cli(*options, "--json", "rows.json")
    assert answer.code == 0, answer.err
    assert seconds(folder / "rows.json") == pytest.approx([14 * 20e-6, 8 * 40e-6])
    assert "1 GFLOP/s" in answer.out and "one of several workers 0.5 GFLOP/s" in " ".join(answer.out.split())
    cli(*options, "--flops", "1e9", "--memory-bandwidth", "1e30", "--json", "given.json")
    assert seconds(folder / "given.json") == pytest.approx([14 * 20e-6, 8 * 20e-6])


def seconds(path: Path) -> list[float]:
    return [row["time_iteration_median_s"] for row in rows_of(path)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--mesh", "columns"), "mesh 'columns' is none: give layers, rows, or numbers"),
        (("--mesh", "layers=3,rows=2"), "mesh layers=3,rows=2 fits no number of workers among 1, 2"),
        (("--mesh", "rows", "--rows", "1"), "2 workers cannot share 1 training rows: give at most 1"),
    ],
)
def test_a_mesh_that_fits_nothing_is_refused(cli: Cli, options: tuple[str, ...], says: str) -> None:
    assert says in cli("predict", "--workers", "1,2", *NETWORK, *RATES, *options).error


def table(answer: Answer) -> list[str]:
    assert answer.code == 0, answer.err
    return answer.out.splitlines()


def test_every_figure_is_marked_as_predicted(cli: Cli, folder: Path) -> None:
    lines = table(cli("predict", "--workers", "1,2", *NETWORK, *RATES, "--json", "rows.json"))
    assert "PREDICTED, not measured" in lines[0]
    assert sum(line.count("predicted") for line in lines[1:4]) == 6
    for row in rows_of(folder / "rows.json"):
        assert row.keys() >= FIELDS
        assert row["predicted"] is True


def test_gradient_methods_come_with_every_schedule_asked_for(cli: Cli, folder: Path) -> None:
    options = ("--optimizer", "adam", "--optimizer", "pdadmm-q", "--schedule", "gpipe", "--schedule", "1f1b")
    table(cli("predict", "--workers", "2", *NETWORK, *RATES, *options, "--json", "rows.json"))
    rows = rows_of(folder / "rows.json")
    assert [(row["optimizer_name"], row["schedule"]) for row in rows] == [
        ("adam", "gpipe"), ("adam", "1f1b"), ("pdadmm-q", None),
    ]  # fmt: skip
    # Adam pads 100 rows to 13 for each of 8 micro-batches; pdadmm-q sends a byte per value.
    assert [row["bytes_per_boundary"] for row in rows] == [2 * 104 * 10 * 4, 2 * 104 * 10 * 4, 2 * 100 * 10]


def test_hyperparameters_and_mini_batches_change_what_is_predicted(cli: Cli, folder: Path) -> None:
    """Exact steps have factorizations; mini-batches are gathered, and each of them has a step of all weights."""

    memory = ("--memory-bandwidth", "1e9")

    def predicted(*options: str) -> float:
        table(cli("predict", "--workers", "1", *NETWORK, *RATES, *memory, *options, "--json", "rows.json"))
        (row,) = rows_of(folder / "rows.json")
        return float(row["time_iteration_median_s"])

    layer, exact = (predicted("--set", f"step={step}") for step in ("layer", "exact"))
    assert exact > layer
    whole, gathered, small = (predicted("--optimizer", "adam", "--batch-size", size) for size in ("0", "100", "10"))
    assert whole < gathered < small


def test_k80_is_shown_beside_what_was_published(cli: Cli) -> None:
    answer = cli("predict", "--machine", "k80", "--workers", "4,8,16", "--optimizer", "pdadmm", "--optimizer", "adam")
    text = " ".join(table(answer))
    for figure in ("flickr 4.28", "flickr 7.61", "flickr 11.41", "ogbn-arxiv 12.47", "ogbn-arxiv 6.68", "flickr 5.9"):
        assert figure in text
    assert "Tesla K80" in text
    assert "assumed" in text
    assert "would not fit" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "1,5"), "5 workers cannot share 4 layers"),
        (("--workers", "two"), "give whole numbers with commas between"),
        (("--workers", "2,2"), "give each number once"),
        (("--partition", "3,3", "--workers", "2"), "has 6 layers and the network 4"),
        (("--flops", "-1"), "greater than 0"),
        (("--wire", "fp8"), "wire"),
        (("--optimizer", "adm"), "did you mean"),
        (("--set", "stp=exact"), "stp"),
        (("--batch-size", "10"), "pdadmm uses all training rows in every step"),
        (("--optimizer", "adam", "--batch-size", "101"), "there are 100 training rows"),
        (("--optimizer", "adam", "--batch-size", "10", "--workers", "2"), "a pipeline takes all training rows"),
    ],
)
def test_what_cannot_be_predicted_is_refused(cli: Cli, options: tuple[str, ...], says: str) -> None:
    assert says in cli("predict", *NETWORK, *RATES, *options).error


def test_published_speedups_are_data_with_a_source() -> None:
    root = Path(__file__).parents[2]
    data = read_toml(root / "reports" / "published" / "speedup.toml")
    for entry in data["speedup"]:
        assert entry["source"] in data["sources"]
        assert entry["accuracy"]
        if entry["kind"] == "workers":
            assert all(len(method["speedups"]) == len(entry["workers"]) for method in entry["methods"])
        elif entry["kind"] == "layers":
            assert all(len(item["speedups"]) == len(entry["layers"]) for item in entry["datasets"])
        else:
            ratios = [row["serial_s"] / row["parallel_s"] for row in entry["rows"]]
            assert ratios == pytest.approx([row["speedup"] for row in entry["rows"]], rel=5e-3)
