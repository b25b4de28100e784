"""Contact sheets and HTML pages."""
