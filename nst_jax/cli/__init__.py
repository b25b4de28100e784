"""The commands: one module each, generated from ``Config``; they parse, print and choose exit statuses, no more."""
