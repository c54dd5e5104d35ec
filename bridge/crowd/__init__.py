"""A crowd of real participants by program, for measuring a server under load; the server knows nothing of it."""
