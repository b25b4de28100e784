"""Comparisons, each run side by side on one machine in one run; see docs/performance.md for what they gave."""
