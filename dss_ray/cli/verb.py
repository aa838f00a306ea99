"""What all commands share: JSON or text on standard output, errors as one sentence, exit codes."""

import inspect
import json
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import wraps
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dss_ray.errors import DssError, UsageError

if TYPE_CHECKING:  # slow to import, and --help needs none of it
    from rich.console import RenderableType

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130  # exit codes
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclass(frozen=True)
class Result:
    """What a command found out.

    Args:
        document: its JSON form.
        text: what people read instead; None prints the document all the same.
        code: the exit code.
    """

    document: Any
    text: "RenderableType | None" = None
    code: int = DONE


def verb(function: Callable[..., Result | None]) -> Callable[..., None]:
    """A command that shows the result of ``function`` and turns its errors into exit codes.

    It has the parameters of ``function``, --debug, and --json if there is a result. While it works,
    standard output is standard error: what libraries print cannot spoil the document.
    """

    @wraps(function)
    def command(*args: Any, debug: bool = False, as_json: bool = False, **kwargs: Any) -> None:
        try:
            with redirect_stdout(sys.stderr):
                result = function(*args, **kwargs)
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 (the last place where one can be explained)
            if debug:
                traceback.print_exc()
            complain(explain(error))
            raise typer.Exit(exit_code(error)) from None
        if result is not None:
            show(result, as_json)
            raise typer.Exit(result.code)

    own = inspect.signature(function, eval_str=True)
    shared = {"as_json": Json, "debug": Debug}
    if own.return_annotation is None:
        del shared["as_json"]
    command.__annotations__ = function.__annotations__ | shared
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in shared.items()
    ]
    command.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    return command


def exit_code(error: Exception) -> int:
    """WRONG for what the user can put right, a file that cannot be used included, else FAILED."""
    unusable = isinstance(error, OSError) and not isinstance(error, DssError)
    return WRONG if unusable or isinstance(error, UsageError) else FAILED


def show(result: Result, as_json: bool) -> None:
    """Print the document or the text on standard output."""
    if as_json or result.text is None:
        sys.stdout.write(json.dumps(result.document, indent=1, allow_nan=False) + "\n")
        return
    if isinstance(result.text, str):
        sys.stdout.write(result.text + "\n")
        return
    from rich.console import Console

    Console(markup=False, highlight=False).print(result.text)


def complain(sentence: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"dss-ray: {' '.join(sentence.split())}\n")


def explain(error: Exception) -> str:
    """The sentence of an error; one that nobody foresaw says so."""
    if isinstance(error, DssError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{str(error.filename)[:200]}: {error.strerror}; choose another place"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where it comes from"


def terminate_as_interrupt() -> None:
    """Treat SIGTERM as whatever takes SIGINT at that time does, so that both end in good order."""

    def interrupt(_: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # shells start background jobs with SIGINT ignored
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    signal.signal(signal.SIGTERM, interrupt)
