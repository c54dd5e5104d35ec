"""The crowd that loads a server, and what it measures."""
