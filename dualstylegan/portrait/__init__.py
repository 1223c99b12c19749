"""Portrait model: reading, restyling, films, styles, and styles added at run time."""
