"""The detectors, one file per field of life. Each file is a tuple of `Detector`; `shared.evidence.detectors` joins them."""
