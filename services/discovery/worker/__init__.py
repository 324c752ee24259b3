"""Long work of discovery: scans, and the draining of removed sources."""
