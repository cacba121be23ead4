"""The network every optimizer trains."""
