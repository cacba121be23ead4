"""``python -m pdadmm_bench`` is ``pdadmm-bench``."""

from pdadmm_bench.cli.main import main

main()
