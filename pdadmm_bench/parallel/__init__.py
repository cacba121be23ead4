"""Layer partitions: which worker holds which layers, and what crosses between them."""
