"""Trace the graph of a foreign network, whichever format it came in, and extract its layers."""
