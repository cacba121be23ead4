"""Hooks of mkdocs for the site (mkdocs.yml): they write the reference of the command, and references in docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from pdadmm_bench.cli.main import app

WIDTH = 76
"""Characters that fit a line of the page."""
OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)\s]+)\)")
"""A link to a file of the repository that is not on the site."""
ROLE = re.compile(r":\w+:<code>~?(?:[\w.]*\.)?(\w+)</code>")
"""``:class:`~package.Name``` after it went through Markdown."""


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace links to files outside docs/ by the names of the files, and add the help of every verb to cli.md."""
    markdown = OUTSIDE.sub(r"\1 in `\2`", markdown)
    return markdown + "\n".join(reference()) if page.file.src_uri == "cli.md" else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Replace a reference in a docstring by the last part of its name."""
    return ROLE.sub(r"<code>\1</code>", html)


def reference() -> list[str]:
    """A section per verb, and a section below it for each verb of its own."""
    return ["", *_sections(typer.main.get_command(app), "pdadmm-bench", None, level=1)]


def _sections(command: Any, name: str, above: Any, level: int) -> Iterator[str]:
    context = command.context_class(
        command, info_name=name, parent=above, max_content_width=WIDTH, terminal_width=WIDTH
    )
    if above:
        yield from ("", f"{'#' * level} {context.command_path.partition(' ')[2]}", "")
    yield from ("```text", command.get_help(context), "```")
    for verb, below in getattr(command, "commands", {}).items():
        yield from _sections(below, verb, context, level + 1)
