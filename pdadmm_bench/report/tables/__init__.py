"""Every table the program shows."""
