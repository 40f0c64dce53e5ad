"""The one exception for bad input."""


class InputError(ValueError):
    """Something that the user gave is wrong: a flag, a file, a record.

    The message names the file or the field and says what to do. Command-line
    tools print it without a traceback and exit with code 1; anything else
    that is raised is a defect of this package.
    """
