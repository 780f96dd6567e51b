"""Lay out the report for a terminal, as Markdown and as JSON.

The model is the same as the page's.
"""
