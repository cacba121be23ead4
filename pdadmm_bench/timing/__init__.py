"""Measurements and predictions of seconds."""
