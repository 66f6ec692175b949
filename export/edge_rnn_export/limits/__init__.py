"""Limits of time and memory for work on untrusted files, in a separate process."""
