"""Graph in, artifact out: model, fit, gate, refresh, segments, evaluation."""
