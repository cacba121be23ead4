"""The network that every optimizer trains."""
