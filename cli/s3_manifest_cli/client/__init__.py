"""The client as a Python API: what each of its commands does, as a function that returns a typed value."""
