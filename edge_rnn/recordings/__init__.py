"""Recordings: samples from text and arrays, checks of rate, units and range, and results as text."""
