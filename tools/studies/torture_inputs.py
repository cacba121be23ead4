"""Malformed arguments and files: each is refused with exit code 2 in one line that has the bad value, and soon."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import random
import re
import shlex
import shutil
import signal
import sys
import time
import typing
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from torture import Case

from pdadmm_bench.cli import main as program
from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import make_row
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.tracking import store

LIMIT_S = 5.0
"""Processor seconds that a refusal may take. They do not depend on what else the machine does."""
PATIENCE_S = 600.0
"""Seconds after which there is no answer, on a busy machine too. A dry run measures this machine for its plan."""
WANTS_MORE = 97
HEAVY = (
    "torch", "mlflow", "pdadmm_bench.training.session", "pdadmm_bench.suite.opening", "pdadmm_bench.gate.run",
    "pdadmm_bench.report.assemble", "pdadmm_bench.cli.views.run_plan",
)  # fmt: skip
WRONG: dict[type, list[str]] = {
    int: ["abc", "1.5", "", "0x10", "1e3", "--", "∞"],
    float: ["abc", "", "1,5", "1e", "0x1p3"],
    Path: ["file/x", "\udcff/x", "folder/" + "n" * 300],
    str: [
        "../../x",
        "<script>",
        "",
        " ",
        "x" * 5000,
        "a=b=c",
        "%s%n",
        "ä\u202e",
        "sbm[",
        "sbm[nodes=-1]",
        "nan",
        ",,",
        "1,,2",
    ],
}
STRANGE: dict[type, list[str]] = {
    int: ["-1", "0", "99999999999999999999999", "2147483648", "-0", "100000"],
    float: ["-1", "0", "nan", "inf", "-inf", "1e400", "1e-400"],
    Path: ["folder", "file", "/dev/null", "/proc/self/mem", "loop"],
    str: [],
}
"""Values that some options take and others do not; tried only where nothing is trained when they are taken."""
SAFE = {
    "run": ["--dry-run", "--dataset", "sbm[nodes=300,classes=3,features=12]"], "suite": ["good.toml", "--dry-run"],
    "rerun": ["abc", "--rows", "rows.json"], "compare": ["rows.json", "rows.json"], "report": ["rows.json"],
    "clean": [], "info": ["adam"], "list": [], "sync": ["folder/runs.json"], "prepare": ["nope"],
}  # fmt: skip
"""Verbs, and arguments with which they train nothing whatever else is given."""
RISKY = {
    "scale": [], "profile": [], "regress": ["--suite", "nope"], "baseline record": ["--suite", "nope"], "predict": [],
    "ui": [], "baseline show": [],
}  # fmt: skip
"""The others; only values that no option takes are tried, and the last of these are refused anyway."""
REFUSED_ANYWAY = ("rerun", "prepare", *RISKY)
ROW_VALUES: list[Any] = [
    "x", "", [], {}, [1], True, None, -1, 0, 1e308, -1e-300, 2**80, float("nan"), float("inf"), "[" * 2000, "<b>",
    {"a": [1]}, "\udcff",
]  # fmt: skip
READERS = [
    ["report", "wrong.json"], ["compare", "wrong.json", "rows.json"], ["sync", "wrong.json"],
    ["rerun", "r1", "--rows", "wrong.json"], ["report", "wrong.json", "--format", "markdown,csv,latex,html"],
]  # fmt: skip
"""Verbs that read rows."""
PIECES = [
    'seeds = "x"', "seeds = -1", "seeds = []", "seeds = 1.5", "seeds = true", "layers = [2, 'a']", "layers = [[2]]",
    "hidden = {}", "optimizer = 3", "optimizer = []", "optimizer = ['adam', 'nope']", "dataset = ''", "dataset = [1]",
    "set = 3", "set.adam = 1", "set.nope.lr = 1", "set.lr = 'x'", "search = {}", "search = { trials = 0 }",
    "search = { trials = 1e9 }", "exclude = 3", "exclude = [{}]", "exclude = [{ nope = 1 }]", "local_only = 'yes'",
    "gpus = 100", "warm_start = '9'", "warm_start = '2:0'", "split = 'x'", "hops = 65", "target = 2.0", "threads = 0",
    "time_limit = nan", "iterations = inf", "nope = 1", "seed = 1", "split_seeds = 1000000000", "layers = 99999999",
    "partition = '1,1'", "wire = 1", "precision = ''", "set = { lr = [1, 2, {}] }", "dataset = '../../x'",
]  # fmt: skip


def cases(seed: int) -> Iterator[Case]:
    """Every option with values that its type forbids, pairs of options, and files changed at random."""
    chance = random.Random(f"inputs {seed}")
    yield from _options()
    yield from (_case(["run", *SAFE["run"], *_pair(chance)], None) for _ in range(80))
    for number in range(120):
        name, value = chance.choice(sorted(_row())), chance.choice(ROW_VALUES)
        verb = chance.choice(READERS)
        text = json.dumps([_row(), {**_row("r2"), name: value}])
        yield _case([*verb], None, files={"wrong.json": text}, name=f"row {number}: {name}={str(value)[:20]!r}")
    for number in range(120):
        kind, verb, text = chance.choice(_FILES)
        yield _case(verb, None, files={kind: _changed(text(), chance)}, name=f"file {number}: {kind}")
    for piece in PIECES:
        text = f'summary = "x"\n[[entry]]\noptimizer = "adam"\ndataset = "sbm"\n{piece}\n'
        if piece.startswith(("optimizer", "dataset")):
            text = f'summary = "x"\n[[entry]]\n{piece}\n'
        yield _case(["suite", "wrong.toml", "--dry-run"], None, files={"wrong.toml": text}, name=f"suite: {piece}")


def _options() -> Iterator[Case]:
    for verb, function in _verbs().items():
        base = SAFE.get(verb, RISKY.get(verb))
        if base is None:
            continue
        hints = typing.get_type_hints(function)
        for name, parameter in inspect.signature(function).parameters.items():
            kind, option = _kind(hints[name]), _spelled(function, name)
            if kind is None or not option or parameter.default is inspect.Parameter.empty:
                continue
            values = list(WRONG[kind]) if kind is not str or verb in SAFE else []
            values += STRANGE[kind] if verb in SAFE else []
            for value in values:
                # A verb that refuses its other arguments anyway may do so before it looks at a name or a place.
                is_reason = verb not in REFUSED_ANYWAY or (kind in (int, float) and value in WRONG[kind])
                yield _case([*verb.split(), *base, option, value], value if is_reason else None)


def _verbs() -> dict[str, Callable[..., None]]:
    from pdadmm_bench.cli.verbs import baseline, compare, predict, profile, report, scale, sync

    more = [scale.scale, predict.predict, compare.compare, profile.profile, report.report, sync.sync]
    nested = {"baseline record": baseline.record, "baseline show": baseline.show}
    return {**program.VERBS, **{verb.__name__: verb for verb in more}, **nested}


def _kind(hint: Any) -> type | None:
    options = [hint, *typing.get_args(hint)]
    options += [inner for option in options for inner in typing.get_args(option)]
    return next((kind for kind in (int, float, Path, str) if kind in options), None)


def _spelled(function: Callable[..., None], name: str) -> str | None:
    """The option as it is written on the command line, None for an argument."""
    hint = typing.get_type_hints(function, include_extras=True)[name]
    for info in getattr(hint, "__metadata__", ()):
        if type(info).__name__ == "ArgumentInfo":
            return None
        words = (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ()))
        declared = [word for word in words if isinstance(word, str) and word.startswith("--")]
        if declared:
            return str(declared[0].partition("/")[0])
    return "--" + name.rstrip("_").replace("_", "-")


def _pair(chance: random.Random) -> list[str]:
    function = program.VERBS["run"]
    hints = typing.get_type_hints(function)
    names = [name for name in hints if name != "return" and _kind(hints[name])]
    chosen = []
    for name in chance.sample(names, 2):
        kind = _kind(hints[name])
        assert kind is not None
        chosen += [_spelled(function, name) or "", chance.choice(WRONG[kind] + STRANGE[kind])]
    return chosen


def _row(run_id: str = "r1") -> dict[str, Any]:
    spec = run_spec({"dataset": "sbm", "optimizer": "adam", "layers": 2, "hidden": 8, "warm_start": "none"})
    values = {
        "run_id": run_id, "status": "ok", "dataset_name": "sbm", "optimizer_name": "adam", "seed": 0, "model_layers": 2,
        "model_hidden": 8, "dist_workers": 1, "dist_device": "cpu", "acc_test_at_best_val": 0.5, "acc_test_final": 0.5,
        "time_iteration_median_s": 0.1, "spec": json.dumps(spec.flat()), "created": "2026-01-01T00:00:00+00:00",
        "dist_per_worker": "[]", "dataset_sha256": "0" * 64, "optimizer_lr": 0.1, "env_cores": 2, "iterations": 3,
    }  # fmt: skip
    return make_row(values)


def _card() -> str:
    return (resources.roots()[-1] / "datasets" / "sbm.toml").read_text()


_SUITE = """summary = "x"
[defaults]
dataset = "sbm"
[[entry]]
optimizer = ["adam"]
layers = [2, 4]
set.adam.lr = [0.1]
seeds = 2
"""
_CONFIG = 'dataset = "sbm"\nlayers = 4\noptimizer = ["adam"]\nseeds = "0,1"\n[set.adam]\nlr = 0.1\n'
_FILES: list[tuple[str, list[str], Callable[[], str]]] = [
    ("wrong.json", ["report", "wrong.json"], lambda: json.dumps([_row(), _row("r2")])),
    ("wrong.json", ["sync", "wrong.json"], lambda: json.dumps([_row(), _row("r2")])),
    ("wrong.toml", ["suite", "wrong.toml", "--dry-run"], lambda: _SUITE),
    ("wrong.toml", ["run", "--dry-run", "--config", "wrong.toml"], lambda: _CONFIG),
    ("share/datasets/mine.toml", ["--share", "share", "info", "mine"], _card),
    ("base/x/ci.json", ["baseline", "show", "--baselines", "base"], lambda: '{"format": 1, "benchmarks": {"a": {}}}'),
]


def _changed(text: str, chance: random.Random) -> bytes:
    """``text`` cut, with bytes changed, or with something put into it."""
    content = bytearray(text.encode())
    how = chance.randrange(4)
    place = chance.randrange(len(content))
    if how == 0:
        return bytes(content[:place])
    if how == 1:
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    elif how == 2:
        content[place:place] = chance.choice(
            [b"\xff", b"\0", b"[" * 5000, b"9" * 5000, b"\n", b'"', b"\xef\xbb\xbf", b"="]
        )
    else:
        other = chance.randrange(len(content))
        content[min(place, other) : max(place, other)] = b""
    return bytes(content)


def _case(arguments: list[str], value: str | None, files: dict[str, str | bytes] | None = None, name: str = "") -> Case:
    command = shlex.join(["pdadmm-bench", *(word if len(word) < 80 else f"{word[:80]}…" for word in arguments)])
    command = command.encode(errors="backslashreplace").decode()

    def attempt(folder: Path) -> str | None:
        return refused(arguments, value, folder, files or {})

    return Case("inputs", f"{name} {command}".strip(), attempt, command)


def refused(arguments: list[str], value: str | None, folder: Path, files: dict[str, str | bytes]) -> str | None:
    """What is wrong with how the program takes ``arguments``; None where it takes or refuses them as it should.

    It runs in a copy of this process, so that its start costs nothing. What imports torch or MLflow is tried again in a
    copy of a process that has imported both; but what is refused then is tried a third time as a user does, because the
    import is a part of the time that a refusal takes.
    """
    code, said, seconds = _answer(arguments, folder, files, lambda: _in_a_copy(arguments, folder, light=True))
    if code == WANTS_MORE:
        code, said, seconds = _answer(arguments, folder, files, lambda: _prepared()(arguments, folder))
        if code == UserError.exit_code:
            code, said, seconds = _answer(arguments, folder, files, lambda: _in_a_copy(arguments, folder))
    if code is None:
        return f"no answer in {PATIENCE_S:.0f} s"
    return _judged(code, said, value, seconds)


def _answer(
    arguments: list[str], folder: Path, files: dict[str, str | bytes], run: Callable[[], tuple[int | None, float]]
) -> tuple[int | None, str, float]:
    """Exit code, output and processor seconds of a ``run`` in ``folder``, which has the case's files and no others."""
    shutil.rmtree(folder)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    (folder / "folder").mkdir(parents=True)
    (folder / "file").touch()
    (folder / "folder" / "runs.json").write_text("[]")
    (folder / "loop").symlink_to("loop")
    (folder / "rows.json").write_text(json.dumps([_row()]))
    (folder / "good.toml").write_text(_SUITE)
    code, seconds = run()
    return code, (folder / "said").read_text(errors="replace"), seconds


def _in_a_copy(arguments: list[str], folder: Path, light: bool = False) -> tuple[int | None, float]:
    """Exit code and processor seconds of the program in a copy of this process; None where it does not end.

    Args:
        light: end with :data:`WANTS_MORE` where torch or MLflow would be imported.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        if light:
            sys.meta_path.insert(0, _Light())
        _be_the_program(arguments, folder)
    began = time.monotonic()
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() - began > PATIENCE_S:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None, 0.0
        time.sleep(0.005)


class _Light:
    """Ends the process where torch or MLflow would be imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in ("torch", "mlflow"):
            os._exit(WANTS_MORE)


@cache
def _prepared() -> Callable[[list[str], Path], tuple[int | None, float]]:
    """Runs the program in a copy of a process that has imported torch and MLflow, which is started here."""
    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        store.quiet()
        for module in HEAVY:
            importlib.import_module(module)
        with contextlib.suppress(EOFError):
            while True:
                theirs.send(_in_a_copy(*theirs.recv()))
        os._exit(0)
    theirs.close()

    def run(arguments: list[str], folder: Path) -> tuple[int | None, float]:
        ours.send((arguments, folder))
        answer: tuple[int | None, float] = ours.recv()
        return answer

    return run


def _be_the_program(arguments: list[str], folder: Path) -> typing.NoReturn:
    code = 99
    try:
        os.chdir(folder)
        output = os.open("said", os.O_WRONLY | os.O_CREAT)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name in ("MLFLOW_TRACKING_URI", "PDADMM_BENCH_DATA", "PDADMM_BENCH_SHARE"):
            os.environ.pop(name, None)
        os.environ["PDADMM_BENCH_CACHE"] = str(folder / "cache")
        sys.argv = ["pdadmm-bench", *arguments]
        program.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode(errors="replace"))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _judged(code: int, said: str, value: str | None, seconds: float) -> str | None:
    last = (said.strip().splitlines() or ["nothing"])[-1][:200]
    if code == 1 and "not uploaded" in said:
        return None  # sync says so of every run that it could not upload
    if "Traceback" in said or "not expected" in said or code not in (0, 2):
        return f"exit code {code}: {last}"
    if "weights_only" in said or "allow_pickle" in said:
        return f"advice to switch safety off: {last}"
    if code == 2 and seconds > LIMIT_S:
        return f"{seconds:.1f} processor seconds until it was refused: {last}"
    if code == 2 and value is not None and value.strip() and not _is_named(value, said):
        return f"the bad value is not in the message: {last}"
    return None


def _is_named(value: str, said: str) -> bool:
    flat = re.sub(r"\s+", "", said)
    spellings = {value, repr(value).strip("'\""), value.encode(errors="backslashreplace").decode()}
    if any(re.sub(r"\s+", "", spelling)[:40].rstrip("0") in flat for spelling in spellings) or _number(value, said):
        return True
    # Of a value with parts, such as sbm[nodes=-1], the message names the part that is wrong.
    parts = {value.partition("=")[0], *re.split(r"[\[\]=,]", value)[:16]} - {value, ""}
    return any(repr(part) in said for part in parts)


def _number(value: str, said: str) -> bool:
    """Whether a number is named in another spelling, such as 0 for -0."""
    try:
        wanted = float(value)
    except ValueError:
        return False
    found = re.findall(r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan)", said.replace(",", ""))
    return any(float(text) == wanted or text == str(wanted) for text in found)
