"""Live media: what rooms may see of it is in `contract`, the rest is private to this package."""
