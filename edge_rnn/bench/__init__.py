"""Benchmarks of networks: single steps, steps at a sensor's rate, start-up, and the machine."""
