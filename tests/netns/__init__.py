"""Hosts and bad lines of our own: network namespaces joined by a link that loses and delays what it is told to."""
