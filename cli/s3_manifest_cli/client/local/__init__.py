"""The local folder: scanning, hashing, safe reads and writes, and the client's own state files.

Nothing here leaves the folder or follows a symlink. Imports no other wing of the client.
"""
