"""The steps of the tutorial, each ``python -m llavakit.steps.NAME`` inside the environment."""
