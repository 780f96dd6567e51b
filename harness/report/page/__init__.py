"""The page: templates, styles and the script, filled from the model.

It decides nothing that the model did not decide.
"""
