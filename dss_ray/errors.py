"""The package's errors: each message says what came, what was expected and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class DssError(Exception):
    """Root of every error that this package raises on purpose; exit code 1."""


class UsageError(DssError, ValueError):
    """A wrong option, name, file or configuration: the user can fix it; exit code 2."""


class TableError(UsageError):
    """The arrays do not form a valid solver table."""


class FileError(UsageError):
    """A file is missing, corrupt or not what its name promises."""


class ModelError(UsageError):
    """A model cannot be loaded, or does not do what is asked of it."""


class StoreError(DssError, OSError):
    """A disk, a database or a tracker refuses in the midst of work; exit code 1."""


class DivergedError(DssError, ArithmeticError):
    """A search or an evaluation met NaN or infinity."""


class ConvergenceError(DssError, ArithmeticError):
    """The reference trajectory does not reach its tolerance."""


def unknown(what: str, found: object, known: Iterable[object], where: str = "") -> UsageError:
    """The error for a name that is none of ``known``, with the nearest match and the whole list."""
    names = sorted(str(name) for name in known)
    near = get_close_matches(str(found), names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    place = f"{where}: " if where else ""
    return UsageError(f"{place}unknown {what} '{found}'; {hint}possible: {', '.join(names)}")


def require_known(what: str, found: object, known: Iterable[object], where: str = "") -> None:
    """Raise ``unknown`` unless ``found`` is one of ``known``."""
    known = list(known)
    if found not in known:
        raise unknown(what, found, known, where)
