"""One file per verb of the command: options in, exit code out."""
