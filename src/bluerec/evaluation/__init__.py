"""Ranking protocol, metrics with intervals, rankers and the report."""
