"""One module a source format, with ``NAME``, ``matches`` and ``read`` as ``registry.Format`` has them."""
