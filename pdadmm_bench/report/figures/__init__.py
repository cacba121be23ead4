"""Every picture the program draws."""
