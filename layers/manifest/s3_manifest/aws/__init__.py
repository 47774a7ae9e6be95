"""The AWS services the functions run on: clients, queues, the event bus, settings, metrics.

The only wing that reads the environment or imports boto3. Imports everything below it to put a function together.
"""
