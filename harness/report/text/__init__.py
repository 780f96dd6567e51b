"""The report on a terminal, as Markdown and as JSON.

The same model as the page's, laid out without HTML.
"""
