"""Turns the answers of AWS into findings. Sends no requests."""
