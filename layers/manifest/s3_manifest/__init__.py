"""A true JSON manifest for every collection of objects in S3.

The ``__init__`` of each folder describes it. In ``reconcile``, ``events`` decodes the events, ``reconcile`` groups them
by collection, ``observe`` reads the state of the objects, ``delta`` derives the changes, and ``commit`` writes the new
head to ``storage``. ``query`` and ``http`` serve the manifest to readers.
"""

__version__ = "0.1.0"
