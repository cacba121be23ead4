"""Checks of runs before anything is started: errors, and cautions about their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.spec import RunSpec, mesh_name
from pdadmm_bench.optim.compiled import missing_compiler
from pdadmm_bench.parallel.forecast import chosen_mesh, planned_blocks, planned_rows, planned_widths
from pdadmm_bench.parallel.layout import check_rows
from pdadmm_bench.training.setup import check_batch_size, check_device, resolve


def check(specs: Sequence[RunSpec], train_rows: int | None = None) -> None:
    """Raise :class:`UserError` for errors that the workers would otherwise find only after their start.

    Args:
        train_rows: the number of training rows, where it is known and not that of a dataset's card.
    """
    check_graphs(specs)
    for spec in specs:
        resolved = resolve(spec)
        check_device(spec, resolved.device)
        if spec.batch_size:
            if reason := resolved.optimizer.refuses_batches(spec):
                raise UserError(reason)
            check_batch_size(spec, train_rows or planned_rows(spec.data)["train"])
        axes = spec.axes()
        if axes is None:
            if train_rows is not None:  # the features are not known from a card; worker 0 will choose
                continue
            planned = planned_widths(spec), planned_rows(spec.data)["train"]
            axes = chosen_mesh(spec, resolved.optimizer, *planned)
        stages, rows = axes
        if rows > 1:
            check_rows(rows, train_rows or planned_rows(spec.data)["train"])
        planned_blocks(resolved.optimizer.cost_profile, spec.partition, [1] * (spec.model.layers + 1), 1, stages)
        pipelined = stages > 1 and resolved.pipelined
        if pipelined and spec.given_microbatches:
            check_microbatches(spec.schedule, spec.given_microbatches, stages)


def check_microbatches(schedule: str, microbatches: int, stages: int) -> None:
    """Raise :class:`UserError` for a number of micro-batches with which ``schedule`` cannot fill the stages."""
    if schedule == "1f1b" and microbatches < stages:
        raise UserError(
            f"--microbatches {microbatches}: 1f1b needs at least as many as workers, {stages}; or use gpipe"
        )
    if schedule == "zero-bubble" and microbatches % stages:
        raise UserError(
            f"--microbatches {microbatches}: zero-bubble needs a multiple of the workers, such as {4 * stages} for "
            f"{stages}; or use 1f1b"
        )


def check_graphs(specs: Sequence[RunSpec]) -> None:
    """Raise :class:`UserError` where ``--cuda-graphs`` would replay some optimizers of a comparison and not others."""
    steady = {spec.optimizer: resolve(spec).optimizer.steady() for spec in specs if spec.cuda_graphs}
    others = sorted(name for name, is_steady in steady.items() if not is_steady)
    if others and len(others) < len(steady):
        raise UserError(
            f"--cuda-graphs replays no iterations of {', '.join(others)}, whose steps are not all the same, so times "
            "of the others could not be compared with theirs; leave out these optimizers, or --cuda-graphs"
        )


def auto_mesh(spec: RunSpec) -> str | None:
    """The mesh that ``--mesh auto`` would take for ``spec``, by its dataset's card, where that is another one.

    None also where a partition says which layers each worker has.
    """
    axes = spec.axes()
    if axes is None or spec.gpus == 1 or spec.partition not in ("auto", "even"):
        return None
    auto = chosen_mesh(spec, resolve(spec).optimizer, planned_widths(spec), planned_rows(spec.data)["train"])
    return None if auto == axes else mesh_name(*auto)


def mesh_remark(specs: Sequence[RunSpec]) -> str | None:
    """A sentence about what ``--mesh auto`` would take where runs over workers have the default mesh; None if the same.

    All ``specs`` are on one dataset; their cards are asked.
    """
    found: dict[str, list[str]] = {}
    for spec in {spec.optimizer: spec for spec in specs if spec.mesh == "layers"}.values():
        if not resolve(spec).unsupported and (auto := auto_mesh(spec)):
            found.setdefault(auto, []).append(spec.optimizer)
    if not found:
        return None
    texts = [f"{auto} for {', '.join(optimizers)}" for auto, optimizers in found.items()]
    return f"the {specs[0].gpus} workers share the layers; --mesh auto would take {' and '.join(texts)}"


def remarks(specs: Sequence[RunSpec]) -> list[str]:
    """What is to be known of the values that this program chose itself: a note below the results, no warning."""
    return _of_hyperparameters([spec for spec in specs if _chosen_here(spec)])


def _chosen_here(spec: RunSpec) -> bool:
    return spec.preset == "default" and not spec.set


def _of_hyperparameters(specs: Sequence[RunSpec]) -> list[str]:
    return sorted({f"{spec.optimizer}: {text}" for spec in specs for text in resolve(spec).optimizer.cautions()})


def cautions(specs: Sequence[RunSpec]) -> list[str]:
    """The cautions that a user should read before quoting a number of these runs."""
    first, device = specs[0], resolve(specs[0]).device
    texts = set(_of_hyperparameters([spec for spec in specs if not _chosen_here(spec)]))
    if first.gpus > 1 and first.device == "auto" and device.type == "cpu":
        texts.add(f"fewer than {first.gpus} CUDA devices: the work is split over {first.gpus} CPU workers instead")
    if first.compile and (reason := missing_compiler(device)):
        texts.add(f"--compile: {reason}, so nothing is compiled; the rows say so (optimizer_compiled)")
    settings = (first.data.feature_scale, first.model.init, first.warm_start)
    if first.preset == "published" and settings != ("none", "normal", "none"):
        texts.add(
            "the published hyperparameters were chosen for other starting points; beside --preset published give "
            "--feature-scale none --init normal --warm-start none"
        )
    return sorted(texts)
