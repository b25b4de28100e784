"""Turns the weights files that people have (Keras, torch, safetensors, MatConvNet, NumPy) into the project's own.

``python -m convert_weights FILE`` is the command line; :func:`convert_weights.convert.convert` is the same from Python.
One module of ``convert_weights.formats`` reads one source format; ``save_weights`` of ``nst_jax.networks.weights_file``
is the one writer.
"""
