"""Options after `--` on the command line that starts the app."""

import argparse
import sys
from collections.abc import Sequence

from core.errors import UserError


def repeated(name: str, hint: str, arguments: Sequence[str] | None = None) -> list[str]:
    """The values of an option that may be given several times, each once.

    Args:
        name: The option, e.g. "--model".
        hint: Sentence that says what belongs after it.
        arguments: Of the command line, by default of this program's.

    Raises:
        UserError: The option without a value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(name, action="append", default=[], dest="values")
    try:
        found, _ = parser.parse_known_args(sys.argv[1:] if arguments is None else list(arguments))
    except argparse.ArgumentError as error:
        raise UserError(hint) from error
    return list(dict.fromkeys(found.values))
