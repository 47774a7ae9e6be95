"""A true JSON manifest for every collection of objects in S3.

The way through the package follows the data: ``events`` decodes what S3 says, ``reconcile`` groups
it by ``collections`` and lets ``commit`` load the head (``heads``), look at S3 (``observe``),
``merge`` and save; ``views`` shapes what a reader is shown. ``store`` says what is asked of an
object store; ``s3`` and ``memory`` are the two there are.
"""

__version__ = "0.1.0"
