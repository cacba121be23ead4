"""Pictures and tables made from result rows and histories."""
