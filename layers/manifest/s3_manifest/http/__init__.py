"""The HTTP API: routes, their documentation, errors as problem+json.

Imports every other wing but ``subscription``; no other wing imports it, but the client shares ``addressing``.
"""
