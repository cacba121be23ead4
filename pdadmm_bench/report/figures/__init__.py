"""Every picture that the program draws, and the data behind it."""
