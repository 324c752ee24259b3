"""The pages that stewards see: rendered here, enriched by htmx, complete without scripts."""
