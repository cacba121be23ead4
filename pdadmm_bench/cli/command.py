"""How the verbs describe their options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from pdadmm_bench.core.errors import short


class VerbGroup(TyperGroup):
    """The verbs; an error of an option repeats the value that was given, which typer's own errors do not always."""

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
