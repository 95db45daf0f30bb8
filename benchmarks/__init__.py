"""Measurements, one question a file; each prints a Markdown table and, last, one line of JSON."""
