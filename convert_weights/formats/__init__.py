"""One module a source format, a ``registry.Format``: ``NAME``, ``matches(path, data)``, ``read(path, data, network)``."""
