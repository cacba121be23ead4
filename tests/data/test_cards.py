"""From a name to a card."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdadmm_bench.core import resources
from pdadmm_bench.core.errors import UserError
from pdadmm_bench.core.rows import first_values
from pdadmm_bench.core.spec import run_spec
from pdadmm_bench.data.catalog import card_names, load_card


def test_parameters():
    card = load_card("sbm[ nodes=500, homophily = 0.25 ]")
    assert card.name == "sbm[homophily=0.25,nodes=500]"
    assert (card.loader.parameters.nodes, card.loader.parameters.homophily) == (500, 0.25)
    assert (card.sizes.nodes, card.sizes.edges) == (500, 5000)
    assert load_card("pubmed-sbm[signal=0.5]").sizes == load_card("pubmed").sizes


@pytest.mark.parametrize("name", ["cora", " sbm[ nodes=500, homophily = 0.25 ]", "sbm[]", "sbm[nodes=90,classes=3,]"])
def test_a_row_has_the_name_of_the_card_before_anything_was_loaded(name):
    assert first_values(run_spec({"dataset": name}))["dataset_name"] == load_card(name).name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pubmad", "unknown dataset 'pubmad': did you mean pubmed"),
        ("pubmad-sbm", "did you mean pubmed-sbm"),
        ("sbm-sbm", "generated already"),
        ("sbm[node=5]", "unknown parameter of sbm 'node': did you mean nodes"),
        ("sbm[nodes=many]", "parameter of sbm nodes='many' is not valid"),
        ("sbm[nodes=3]", "greater than or equal to 10"),
        ("sbm[homophily=1.5]", "less than or equal to 1"),
        ("sbm[homophily=nan]", "finite"),
        ("sbm[degree=1e3]", "too dense"),
        ("sbm[nodes=500", "not of the form"),
        ("sbm[nodes]", "not of the form"),
        ("pubmed[nodes=5]", "takes no parameters; its generated twin does: pubmed-sbm"),
        ("", "unknown dataset ''"),
        ("../cora", "unknown dataset"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UserError) as caught:
        load_card(name)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("PDADMM_BENCH_SHARE", str(tmp_path))
    return tmp_path / "datasets"


def shipped(name: str) -> str:
    return (resources.roots()[-1] / "datasets" / f"{name}.toml").read_text(encoding="utf-8")


def test_overlay_adds_and_replaces(overlay):
    (overlay / "mine.toml").write_text(shipped("photo"), encoding="utf-8")
    (overlay / "cora.toml").write_text(shipped("cora").replace("Planetoid", "mine", 1), encoding="utf-8")
    assert "mine" in card_names()
    assert load_card("mine").sizes == load_card("photo").sizes
    assert load_card("cora").version == "mine"
    assert load_card("mine-sbm").sizes.nodes == 7650


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("citation =", "citatoin =", "'citatoin': did you mean citation"),
        ('path = "Cora/raw/ind.cora.x"', 'path = "../../etc/passwd"', "without '..'"),
        ("23cfa55d91c6f624", "unknown", "sha256"),
        ("train = 140\n", "", "states its train, val and test counts"),
        ("nodes = 2708", "nodes = -1", "nodes=-1 is not valid"),
        ("[loader]", "[loader", "not valid TOML"),
    ],
)
def test_faulty_cards(overlay, old, new, message):
    assert old in shipped("cora")
    (overlay / "bad.toml").write_text(shipped("cora").replace(old, new), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_card("bad")
    assert message in str(caught.value)
    assert "bad.toml" in str(caught.value)


def test_pickles_need_a_known_checksum(overlay):
    text = shipped("cora").replace("23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab", "unknown")
    (overlay / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="pickles: every one needs its sha256"):
        load_card("bad")


@pytest.mark.parametrize("form", ["path", "card", "callable"])
def test_third_party_entry_point(tmp_path, install, form):
    (tmp_path / "theirs.toml").write_text(shipped("photo"), encoding="utf-8")
    folder = install("pdadmm_bench.datasets", theirs=f"their_cards:{form}")
    (folder / "their_cards.py").write_text(
        "from pathlib import Path\nfrom pdadmm_bench.data.catalog import load_card\n"
        f"path = Path({str(tmp_path / 'theirs.toml')!r})\n"
        "card = load_card('photo')\ndef callable(): return str(path)\n",
        encoding="utf-8",
    )
    assert "theirs" in card_names()
    assert load_card("theirs").sizes.nodes == 7650


def test_third_party_cannot_take_a_name(install):
    install("pdadmm_bench.datasets", cora="theirs:card")
    with pytest.raises(UserError, match="both the card"):
        load_card("cora")
