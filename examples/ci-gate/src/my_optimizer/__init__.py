"""An optimizer of one's own, gated by pdadmm-bench."""
