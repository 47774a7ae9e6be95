"""Reaches AWS or a deployed HTTP API, and explains what is refused. Imports no other wing of the client."""
