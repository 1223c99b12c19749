"""Studio: a page on this machine to restyle photos, and the REST interface behind it."""
