"""Settings."""


class ConfigError(Exception):
    """What the operator must mend before the server can start: one plain sentence."""
