"""Take the pictures of the documentation, with chromium and chromedriver.

    pdadmm-bench run --dataset pubmed --optimizer all --threads 1 --json rows.json
    python tools/docs/screenshots.py table rows.json run.png
    python tools/docs/screenshots.py compare mlflow.db mlflow-compare.png
    python tools/docs/screenshots.py views mlflow.db docs/images
    pdadmm-bench report rows.json --format all --out report
    python tools/docs/screenshots.py report report docs/images

``table`` is the terminal's table drawn by rich; its last argument may be another command. ``compare`` is the page of
the MLflow UI that compares the runs of the last invocation; ``tests/cli/test_ui_browser.py`` opens the same page.
``report`` takes the page in a report's folder, at its top and at its curves, and a picture of each kind beside it.
``views`` takes the view of the training runs with which ``pdadmm-bench ui`` opens, and its charts.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """A window of a headless chromium, driven through chromedriver's HTTP interface (W3C WebDriver)."""

    def __init__(self, port: int):
        self._base = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Send one command to chromedriver and return its answer; raises ``RuntimeError`` with its reason."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            reason = json.load(error)["value"]["message"]
            raise RuntimeError(f"{path} {str(body)[:200]}: {reason[:500]}") from None

    def open_window(self, folder: Path, width: int, height: int) -> None:
        """Start chromium with ``folder`` as its profile."""
        arguments = [*ARGUMENTS, f"--user-data-dir={folder}", f"--window-size={width},{height}"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self.call("POST", "/session", capabilities={"alwaysMatch": wanted})
        self._base += f"/session/{session['sessionId']}"

    def go(self, url: str) -> None:
        """Open a page."""
        self.call("POST", "/url", url=url)

    def text(self) -> str:
        """The visible text of the page."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        return self.call("POST", "/execute/sync", script=script, args=[])

    def wait_for(self, *texts: str, seconds: float = 60.0) -> str:
        """The page's text as soon as it has all ``texts``; raises ``TimeoutError`` with what is missing."""
        end = time.monotonic() + seconds
        while missing := [text for text in texts if text not in (shown := self.text())]:
            if time.monotonic() > end:
                raise TimeoutError(f"the page does not show {missing}; it shows: {shown[:2000]}")
            time.sleep(0.3)
        return shown

    def complaints(self) -> list[str]:
        """The messages on the console since the last call: errors, warnings and all others."""
        return [entry["message"] for entry in self.call("POST", "/se/log", type="browser")]

    def requests(self) -> list[str]:
        """The addresses that the page requested since the last call, whether they answered or not.

        The browser's own first tab asks for addresses too (``chrome:``, ``chrome-untrusted:``), which no page may.
        """
        events = [json.loads(entry["message"])["message"] for entry in self.call("POST", "/se/log", type="performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "blob:", "chrome:", "chrome-untrusted:"))]

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window, with a stop on the way, as a hand does."""
        steps = [{"type": "pointerMove", "duration": 50, "x": int(x) + away, "y": int(y)} for away in (-9, 0)]
        self.call("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": steps}])

    def picture(self, path: Path, width: float, height: float) -> None:
        """Write the upper left part of the page as a PNG."""
        self._picture(path, clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})

    def picture_of_view(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        self._picture(path)

    def _picture(self, path: Path, **params: Any) -> None:
        params["captureBeyondViewport"] = "clip" in params
        answer = self.call("POST", "/goog/cdp/execute", cmd="Page.captureScreenshot", params=params)
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.contextmanager
def browser(width: int, height: int) -> Iterator[Browser]:
    """A browser window, closed afterwards."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pdadmm-bench-", ignore_cleanup_errors=True) as folder:
        driver = subprocess.Popen(["chromedriver", f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        try:
            wait_until_answers(f"http://127.0.0.1:{port}/status")
            window = Browser(port)
            window.open_window(Path(folder), width, height)
            try:
                yield window
            finally:
                window.call("DELETE", "")
        finally:
            driver.terminate()
            driver.wait(30)


@contextlib.contextmanager
def ui(store: Path) -> Iterator[str]:
    """Run ``pdadmm-bench ui`` on a SQLite store; gives its address, and ends with the block."""
    port = free_port()
    command = [sys.executable, "-m", "pdadmm_bench", "ui", "--tracking-uri", f"sqlite:///{store}", "--port", str(port)]
    command.append("--no-open")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, start_new_session=True, **quiet)  # so that all of it gets the Ctrl-C below
    try:
        wait_until_answers(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)


def compare_page(store: Path) -> tuple[str, list[str]]:
    """Path of the page that compares the child runs of the store's last invocation, and their names."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    parent = [run for run in runs if "mlflow.parentRunId" not in run.data.tags][-1]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    ids = quote(json.dumps([run.info.run_id for run in children], separators=(",", ":")))
    experiment = quote(json.dumps([parent.info.experiment_id]))
    return f"/#/compare-runs?runs={ids}&experiments={experiment}", [run.info.run_name for run in children]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_answers(url: str, seconds: float = 600.0) -> None:
    """Wait for a server that is starting."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


TERMINAL = """<body style="margin:0"><pre style="display:inline-block; margin:0; padding:16px 20px; font: 15px/17px
'DejaVu Sans Mono'; color:{foreground}; background:{background}">{code}</pre></body>"""


def table(rows: Path, picture: Path, command: str = "pdadmm-bench run --dataset pubmed --optimizer all") -> None:
    """The final table of the runs in ``rows``, below the ``command`` that made them."""
    from rich.console import Console
    from rich.terminal_theme import DIMMED_MONOKAI

    from pdadmm_bench.core.rows import read_rows
    from pdadmm_bench.report import render
    from pdadmm_bench.report.tables.summary import summary_table

    with tempfile.TemporaryFile("w") as nowhere:
        console = Console(record=True, width=120, file=nowhere, force_terminal=True)
        console.print(f"$ {command}\n", highlight=False)
        console.print(render.terminal(summary_table(read_rows(rows))))
    html = console.export_html(theme=DIMMED_MONOKAI, code_format=TERMINAL, inline_styles=True)
    with browser(1400, 900) as window, tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "table.html"
        page.write_text(f"<meta charset='utf-8'>{html}", encoding="utf-8")
        window.go(page.as_uri())
        box = window.run(
            "const box = document.querySelector('pre').getBoundingClientRect(); return [box.width, box.height]"
        )
        window.picture(picture, *box)


CLOSE_SIDE_PANELS = """
for (const name of ["mlflow_header.toggle_sidebar_button", "mlflow.assistant.chat_panel.close"])
    document.querySelector(`[data-component-id="${name}"]`)?.click();
"""
SHOW_DIFFERENCES = """document.querySelector('[aria-label="Parameters - Show diff only"]').click();"""
ARTIFACTS_TOP = """
const nodes = [...document.querySelectorAll("*")].filter(node => node.textContent.trim() == "Artifacts");
return nodes.at(-1).getBoundingClientRect().top;
"""


def compare(store: Path, picture: Path) -> None:
    """The MLflow page that compares the runs: their different settings and their results."""
    path, names = compare_page(store)
    with ui(store.absolute()) as address, browser(1720, 2600) as window:
        window.go(address + path)
        window.wait_for(*names)
        window.run(CLOSE_SIDE_PANELS)
        window.run(SHOW_DIFFERENCES)
        time.sleep(5)  # charts are drawn after the text
        window.picture(picture, 1720, window.run(ARTIFACTS_TOP) - 20)


OPEN = "document.querySelector('[id^=convergence]').closest('details').open = true"


def views(store: Path, pictures: Path) -> None:
    """The pages that ``pdadmm-bench ui`` names: the list of the training runs, and their charts."""
    from pdadmm_bench.tracking.ui import pages

    found = pages(f"sqlite:///{store.absolute()}")
    assert found is not None
    with ui(store.absolute()) as address, browser(2000, 1250) as window:
        for name, page in {"runs": found.runs, "charts": found.charts, "means": found.optimizers}.items():
            window.go("about:blank")
            window.go(f"{address}{page}")
            window.wait_for("matching runs", seconds=300)
            time.sleep(5)  # a side panel opens after the text
            window.run(CLOSE_SIDE_PANELS)
            time.sleep(25)  # charts are drawn after the text
            window.picture_of_view(pictures / f"mlflow-{name}.png")


def report(folder: Path, pictures: Path) -> None:
    """The page of a report, at its top and at the curves of a problem, and one of its pictures of each kind."""
    with browser(1300, 1000) as window:
        window.go((folder / "report.html").absolute().as_uri())
        window.wait_for("Click a heading to sort", "Every run", seconds=200)
        time.sleep(3)  # the plots are drawn after the text
        window.picture(pictures / "report-page.png", 1300, 900)
        window.run(OPEN)
        window.run("document.querySelector('[id^=convergence]').closest('details').scrollIntoView()")
        time.sleep(3)
        window.picture_of_view(pictures / "report-plots.png")
    for kind in ("convergence", "speedup", "profile"):
        found = sorted(folder.glob(f"{kind}*.png"), key=lambda path: path.stat().st_size)
        if found:  # the largest shows the most
            shutil.copy(found[-1], pictures / f"report-{kind}.png")


def hover(window: Browser, plots: str, seconds: float = 60.0) -> str:
    """Point at the last value of the first curve in the first of ``plots``; returns the label that plotly shows."""
    plot = f"document.querySelector('{plots} [data-plot]')"
    place = f"""
    const points = {plot}.querySelectorAll(".scatterlayer .trace:first-child .point");
    if (!points.length) return null;
    const box = [...points].at(-1).getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := window.run(place):
            window.point_at(*found)
            if label := window.run(f"return {plot}.querySelector('.hoverlayer')?.textContent"):
                return str(label)
        time.sleep(0.3)
    raise TimeoutError(f"no label appeared in {plots}")


if __name__ == "__main__":
    {"table": table, "compare": compare, "views": views, "report": report}[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]
    )
