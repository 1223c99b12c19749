"""The report: one HTML file that opens offline, in light and dark, on a phone and on a desk."""
