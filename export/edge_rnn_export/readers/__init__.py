"""Readers of networks from other frameworks, one folder per framework."""
