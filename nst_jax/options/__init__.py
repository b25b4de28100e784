"""Options of a run: ``Config``, presets, folders of pictures. Plain Python."""
