"""Portrait model: transfer, styles, and styles added at run time."""
