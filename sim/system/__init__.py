"""Assemble a machine, place ops on it, replay steps: predictions and their cache."""
