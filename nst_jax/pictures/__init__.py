"""Picture files and arrays: read, written, resized, coloured, masked, made to tile."""
