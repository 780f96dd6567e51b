"""Plan what a campaign measures: profiles, scenarios, trials, waves and budgets. Pure.

It knows no backend, no clock and no result.
"""
