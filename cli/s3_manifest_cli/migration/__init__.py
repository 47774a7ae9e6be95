"""``s3-manifest migrate``: a tree of legacy manifests and images, taken over into S3.

``decode`` reads a legacy file, ``places`` finds what it names, ``merge`` brings together what all of
them say, ``plan`` compares that with what is there: these are pure. ``tree`` and ``remote`` say what
is there, ``run``, ``verify`` and ``remove`` do the rest.
"""
