"""``python -m pdadmm_bench`` and the console script: the command, whose first imports Ctrl-C ends without a word."""

import os
import signal


def main() -> None:
    """Import the command and run it."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ignored, if started to be deaf to it
    if ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # there is nothing to put in order yet
    from pdadmm_bench.cli.main import main as command

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
