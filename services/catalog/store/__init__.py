"""The only SQL of the catalog's schema: writes in sets, reads for pages and tools, the digest, the rebuild."""
