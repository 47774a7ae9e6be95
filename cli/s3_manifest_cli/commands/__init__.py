"""The commands of ``s3-manifest``: each reads its options, calls one function of ``client``, and tells what it says."""
