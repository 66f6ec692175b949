"""Verification of exported graphs: outputs, error bounds, cost, report."""
