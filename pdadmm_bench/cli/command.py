"""How the verbs describe their options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from pdadmm_bench.core.errors import short

VERBS = {
    "Start here": ("demo", "run", "ui", "doctor"),
    "Many runs": ("suite", "rerun", "sync"),
    "What came out": ("report", "compare"),
    "Speed": ("profile", "scale", "predict"),
    "Is this code worse": ("regress", "baseline"),
    "Data and machine": ("list", "info", "prepare", "card", "clean", "check", "selftest"),
}
"""The verbs by what they are for; one that is not here comes last."""


class VerbGroup(TyperGroup):
    """The verbs; an error of an option repeats the value that was given, which typer's own errors do not always."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        groups = {title: [name for name in own if name in names] for title, own in VERBS.items()}
        grouped = {name for own in groups.values() for name in own}
        groups["Verbs" if not grouped else "More"] = [name for name in names if name not in grouped]
        for title, own in groups.items():
            lines = [(name, self.get_command(ctx, name)) for name in own]
            if lines:
                with formatter.section(title):
                    formatter.write_dl([(name, verb.get_short_help_str(90) if verb else "") for name, verb in lines])

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        with _values_repeated():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        with _values_repeated():
            return super().invoke(ctx)


@contextlib.contextmanager
def _values_repeated() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        found: list[Any] = getattr(error.__cause__, "errors", list)()  # pydantic's, with which typer checks
        if found and (value := short(found[0]["input"])) not in error.message:
            error.message = f"{value}: {error.message[:1].lower()}{error.message[1:]}"
        raise


FIRST = ("dataset", "optimizer", "layers", "hidden", "iterations", "seeds", "gpus", "set_", "json_file", "dry_run")
"""The options of ``run`` that matter first."""
_LAYOUT = ("gpus", "mesh", "partition", "wire", "schedule", "microbatches", "threads", "device", "dist_timeout")
_OUTPUT = ("json_file", "experiment", "tracking_uri", "quiet")


def _group(name: str) -> str:
    """The heading of an option of ``run`` in its help."""
    from pdadmm_bench.core.options import FIELDS
    from pdadmm_bench.core.spec import DataSpec, ModelSpec

    if name in FIRST:
        return "What matters first"
    if name in DataSpec.model_fields or name in ("data_root", "cache", "offline"):
        return "Data"
    if name in ModelSpec.model_fields or name in ("warm_start", "deepening"):
        return "Network"
    if name in ("preset", "batch_size"):
        return "Optimizer"
    if name in _LAYOUT:
        return "Layout: workers and devices"
    if name in _OUTPUT:
        return "Output"
    return "Running" if name in FIELDS or name == "config" else "Other"


_HEADINGS = (
    "What matters first", "Data", "Network", "Optimizer", "Layout: workers and devices", "Running", "Output", "Other",
)  # fmt: skip


class ModelCommand(TyperCommand):
    """A command that takes meaning, choices and default of an option from the model field of the same name.

    So help and checks cannot disagree. The models are imported only when the help of the verb is asked for, because
    building them takes longer than everything else that happens at the start.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from pdadmm_bench.core.options import FIELDS

        for param in self.params:
            field = FIELDS.get(param.name or "")
            if field is None:
                continue
            param.help = getattr(param, "help", None) or field.description  # type: ignore[attr-defined]
            if get_origin(field.annotation) is Literal:
                param.metavar = "|".join(get_args(field.annotation))
        # Not shown: that a switch is off; nor the default of seeds, which is a list in the model and a count here.
        shown = {name: field.default for name, field in FIELDS.items() if field.default is not False}
        ctx.default_map = {name: default for name, default in shown.items() if name != "seeds"}
        ctx.show_default = True
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Of ``run``, which has more options than anybody reads, in groups; of other verbs as usual."""
        if self.name != "run":
            super().format_options(ctx, formatter)
            return
        groups: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _HEADINGS}
        order = {name: place for place, name in enumerate(FIRST)}
        for param in sorted(self.get_params(ctx), key=lambda param: order.get(param.name or "", len(order))):
            record = param.get_help_record(ctx)
            if record is not None:
                groups[_group(param.name or "")].append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)
