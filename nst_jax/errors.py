"""The one exception that stands for a mistake of the caller's."""


class NSTError(ValueError):
    """A mistake of the caller's: a file, shape, option or weight that cannot be used.

    The message is one line that says what is wrong and what would be right. The command lines print it on standard
    error and exit with status 2; in the library it is an ordinary ``ValueError``.
    """
