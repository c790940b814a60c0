"""Runnable modules, one per step."""
