"""From histories to texts and vectors: models, prompts, writers, embedders, readers."""
