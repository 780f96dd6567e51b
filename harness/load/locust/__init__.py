"""The Locust side of a trial: users, runners, and the engines behind Locust's messages.

Only this folder imports Locust.
"""
