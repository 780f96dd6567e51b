"""What will be measured: profiles, scenarios, trials, waves and budgets. Pure.

It knows no backend, no clock and no result.
"""
