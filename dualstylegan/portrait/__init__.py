"""The portrait model: a photo and the name of a style in, the restyled portrait out."""
