"""One run: plan, goals, start, coarse to fine, result, report."""
