"""What the functions use of AWS: clients, queues, the event bus, settings and metrics.

The only wing of the layer that reads environment variables and imports boto3. Imports all lower wings.
"""
