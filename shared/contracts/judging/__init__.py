"""What a source document means, and whether it is a source: the same for the registry, a preflight and the shell."""
