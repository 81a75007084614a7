"""Profiles in use: the store, recommendations with their reasons, the service and its page."""
