"""GRPO training of the profiler; the only package that imports TRL."""
