"""``pull``, ``push``, ``sync`` and ``restore``: plan what to transfer, then execute the plan.

Imports every wing of the client below it.
"""
