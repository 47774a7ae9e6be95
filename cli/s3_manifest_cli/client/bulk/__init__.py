"""Many collections in one call: selects them, names their folders, and runs any function of the client for each.

Imports every wing of the client below it.
"""
