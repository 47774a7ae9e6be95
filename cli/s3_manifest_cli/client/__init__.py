"""The client: what a program does with manifests, and with local copies of what they tell of."""
