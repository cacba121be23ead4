"""Speed files: what to measure, the figures that should come out, and the rows that do."""
