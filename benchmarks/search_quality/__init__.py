"""Search algorithms and schedulers compared on recorded curves; see search_quality.md."""
