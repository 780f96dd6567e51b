"""Draw charts as static SVG: axes, labels and colours.

They draw values that a section chose, and compute none.
"""
