"""What every command prints: results, progress, plans, warnings, errors and exit codes; and shared options.

Imports the client; the commands import it.
"""
