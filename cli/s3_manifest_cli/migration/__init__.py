"""``s3-manifest migrate``: imports a tree of legacy manifests and images into S3.

``legacy`` reads the tree, ``decode`` each legacy file, ``merge`` combines them (with ``places``), and ``plan`` compares
the result with S3, which ``remote`` reads. ``run`` executes the plan, ``verify`` checks the manifests, ``remove``
deletes what was imported. May import the client and the terminal.
"""
