"""What we measure and how, side by side with peers; results in docs/results.md."""
