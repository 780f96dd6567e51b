"""What each section of the report says, as values: no HTML and no drawing.

Sections know the analysis, and not how they are laid out.
"""
