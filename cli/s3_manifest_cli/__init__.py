"""What runs on a person's machine and never in a Lambda: the local stack and its commands."""
