"""One module per command: its options, one call of the client, and its output. Imports ``client`` and ``terminal``."""
