"""The optimisers; they know no images."""
