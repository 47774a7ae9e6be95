"""Changes to objects and sidecars: deletes, hides, prompts, labels, presigned uploads.

Never writes a manifest: S3 announces each change, and ``reconcile`` does. Imports ``query`` and the wings below it.
"""
