"""Tracks a session of runs in MLflow, as :class:`pdadmm_bench.training.session.Tracking` requires."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from pdadmm_bench.core.env import environment
from pdadmm_bench.core.options import Output
from pdadmm_bench.tracking.store import command, view_command
from pdadmm_bench.tracking.tracker import Tracker


class MlflowTracking:
    """Tracks in the store that the options name."""

    def open(self, name: str, config: Mapping[str, Any], output: Output, view: Any) -> Tracker:
        """The parent run ``name``, a context manager.

        Raises :class:`~pdadmm_bench.core.errors.TrackingError` for an address that can be no store's; a store that
        cannot be used is a warning in the ``view``.
        """
        files = [output.json_file] if output.json_file else []
        return Tracker.open(
            output.tracking_uri, output.experiment, name, config, environment(), files=files, warn=view.warn
        )

    def view_command(self, output: Output) -> str:
        """The command that opens MLflow's UI on the store."""
        return view_command(output.tracking_uri)

    def page_command(self, output: Output) -> str:
        """The command that makes a page of all runs of the experiment."""
        return command(f"report {shlex.quote(output.experiment)} --format html", output.tracking_uri)
