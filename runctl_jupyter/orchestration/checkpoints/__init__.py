"""Checkpoints of jobs: the catalogue."""
