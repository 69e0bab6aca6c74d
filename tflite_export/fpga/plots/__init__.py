"""Charts of an estimate, as SVG."""
