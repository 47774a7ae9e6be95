"""What is right and wrong about what AWS answered: each check returns findings and makes no request."""
