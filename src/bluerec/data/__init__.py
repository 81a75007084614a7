"""From logs to tables, histories, examples and candidates."""
