"""The self-test: what only a device can show, as checks with verdicts (``pdadmm-bench selftest``)."""
