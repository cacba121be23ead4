"""How the verbs describe their options."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from typer.core import TyperCommand


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
