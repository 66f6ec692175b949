"""Compiled steps of layers, one kind of layer per file."""
