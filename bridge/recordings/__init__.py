"""Recordings as they are stored in the vault, and all that is done with them after they were made."""
