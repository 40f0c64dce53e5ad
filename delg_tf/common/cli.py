"""How every command line starts and ends."""

import io
import logging as std_logging
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from delg_tf.common.errors import InputError


def run(
    main: Callable[[], None] | Callable[[Sequence[str]], None],
    takes_arguments: bool = False,
) -> None:
    """Parses the flags and runs `main`.

    Bad input, and files that cannot be read or written, end with a message
    and code 1.

    Args:
        main: reads its flags from `absl.flags.FLAGS`.
        takes_arguments: whether it is called with what stands on the command
            line beside flags; otherwise there may be nothing.
    """

    def guarded(arguments: Sequence[str]) -> int:
        if len(arguments) > 1 and not takes_arguments:
            print(
                f"error: unexpected argument {arguments[1]!r}; flags are "
                "written --name=value.",
                file=sys.stderr,
            )
            return 1
        # Names of files need not be text that the terminal can show.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        logging.set_verbosity(logging.INFO)
        logging.use_absl_handler()
        # TensorFlow has a handler of its own: its lines would come twice.
        std_logging.getLogger("tensorflow").setLevel(std_logging.WARNING)
        logging.get_absl_handler().addFilter(_worth_showing)
        try:
            main(*([arguments[1:]] if takes_arguments else []))
        # OSError: a folder may not be written to, the disk is full, ...
        except (InputError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0

    _show_all_flags()
    app.run(guarded)


def _show_all_flags() -> None:
    """Lets --help show flags that other modules of the package define."""
    known = flags.FLAGS
    for name in [m for m in sys.modules if m.startswith("delg_tf.")]:
        for flag in known.get_key_flags_for_module(name):
            # The name by which absl knows the program itself.
            known.register_key_flag_for_module(sys.argv[0], flag)


def _worth_showing(record: std_logging.LogRecord) -> bool:
    """Whether a line is ours, or a warning of TensorFlow's Python code."""
    foreign = "/tensorflow/python/" in record.pathname
    return not foreign or record.levelno >= std_logging.WARNING
