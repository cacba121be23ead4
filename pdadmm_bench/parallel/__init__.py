"""Layer partitions: which worker holds which layers, and which tensors the workers exchange."""
