"""Recordings: samples from text and arrays, their rate, units and range, and results as text."""
