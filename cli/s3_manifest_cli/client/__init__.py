"""The client: reads manifests, compares them with local folders, and transfers files.

Its wings, lowest first: ``access``, ``local``, ``manifests``, ``verify``, ``transfer``, ``sync``, ``export``,
``doctor``.
"""
