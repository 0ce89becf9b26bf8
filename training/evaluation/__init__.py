"""How good is a ranking: protocols make splits, metrics judge scores, baselines are what a model has to beat."""
