"""Whole journeys. A package, so that its stacks end with its last test instead of idling beside all others."""
