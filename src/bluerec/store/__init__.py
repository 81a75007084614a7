"""The embedded store of items, histories and profiles, and the search in it."""
