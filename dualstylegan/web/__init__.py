"""A static page that restyles portraits in the visitor's browser, without a server."""
