"""Speed files: their entries, the targets of the figures, and the measured rows."""
