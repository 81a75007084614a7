"""Textual user profiles that retrieve."""

__version__ = "0.1.0"
