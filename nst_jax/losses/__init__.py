"""The losses: formulas, statistics, terms, the objective."""
