"""`invoke doctor`: every prerequisite of a recipe as a check of its own.

A module for each theme, the table of all checks, what runs them in time, and the report.
"""
