"""Predictions held against published measurements, and the refit of calibrated numbers."""
