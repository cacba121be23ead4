"""The tables of docs/speed.md and docs/layouts.md that ``pdadmm-bench predict`` computes from rates that are assumed.

    python tools/docs/predictions.py            # writes the tables
    python tools/docs/predictions.py --check    # fails where a page has other numbers than its commands

The commands are the block before the table on its page.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from marked import ROOT, Marked, main, markdown
from typer.main import get_command

from pdadmm_bench.cli.main import app
from pdadmm_bench.core.rows import Row

PUBLISHED = ROOT / "reports" / "published" / "speedup.toml"
NAMES = {"ogbn-arxiv": "arXiv", "flickr": "Flickr"}


@dataclass(frozen=True)
class Computed(Marked):
    """A table of the rows that commands on its page compute."""

    def load(self) -> list[Row]:
        """Run the commands of the last block before the table."""
        before = self.pages[0].read_text(encoding="utf-8").partition(f"<!-- {self.name} -->")[0]
        block = before.split("```sh\n")[-1].partition("```")[0]
        rows: list[Row] = []
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            file = Path(folder) / "rows.json"
            for command in block.splitlines():
                options = shlex.split(command, comments=True)[1:]
                get_command(app).main([*options, "--json", str(file)], standalone_mode=False)
                training = int(options[options.index("--rows") + 1])
                rows += [{**row, "rows": training} for row in json.loads(file.read_text(encoding="utf-8"))]
        return rows


SPEEDUPS = Computed("predicted-speedups", PUBLISHED, (ROOT / "docs" / "speed.md",))
COLUMNS = ("bytes_per_boundary", "dist_reduced_bytes")
BYTES = Computed("predicted-bytes", PUBLISHED, (ROOT / "docs" / "layouts.md",))


def speedups(rows: list[Row]) -> str:
    """Predicted and published speedups by the number of GPUs."""
    found = [row for row in rows if row["published_speedups"]]
    lines = [
        [
            str(row["dist_workers"]),
            f"{row['speedup']:.2f}",
            *(f"{row['published_speedups'][name]:.2f}" for name in NAMES),
        ]
        for row in found
    ]
    return markdown(["GPUs", "predicted speedup", *(f"published, {name}" for name in NAMES.values())], lines)


def sent(rows: list[Row]) -> str:
    """Bytes of an iteration by the mesh of the workers."""
    lines = []
    for row in rows:
        shape = f"N = {row['rows']:,}, {row['model_layers']} × {row['model_hidden']}"
        found = [f"{row[column] / 1e6:.3g} MB" if row[column] else "–" for column in COLUMNS]
        lines.append([shape, row["dist_mesh"] or "layers=4", *found])
    return markdown(
        ["4 workers", "mesh", "both directions of a boundary", "sums, all workers together"], lines, labels=2
    )


TABLES = ((SPEEDUPS, speedups), (BYTES, sent))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], *TABLES))
