"""Profiles: what a campaign measures and for how long, as data."""
