"""One run of the comparison: admit servers, prove the generator, run trials, draw the report.

Only this floor and the command line know backends, plan, store and report at once.
"""
