"""Rows of the table by theme: networks, the steps of the method, and whole stages."""
