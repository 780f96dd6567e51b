"""Render the page: templates, styles and the script, filled from the model.

The model makes all decisions.
"""
