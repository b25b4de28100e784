"""One module a source format: ``NAME``, ``matches(path, head)`` and ``read(path, network)`` (``registry.Format``)."""
