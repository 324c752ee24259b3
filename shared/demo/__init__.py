"""A sample company in PostgreSQL: generated, seeded, in five languages, with decoys.

It is what the demo scans, so it must know nothing of how things are found: it shares no list, name or pattern with the
detectors and the rules (an import wall holds that), and its numbers are made by the published check-digit rules, here.
"""
