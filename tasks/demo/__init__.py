"""Portraits of the demo: generated faces, painted as exemplars or turned into photographs."""
