"""Reaching AWS or a deployed HTTP API: sessions, signed requests, and what to do when one is refused.

Imports no other wing of the client.
"""
