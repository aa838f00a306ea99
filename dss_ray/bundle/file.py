"""Bundles on disk: written whole, read with suspicion, known by the hash of their content."""

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from dss_ray.bundle.bundle import HASH, SCHEMA_VERSION, Bundle
from dss_ray.bundle.earlier import upgraded
from dss_ray.errors import FileError

LARGEST = 64 * 2**20  # bytes; a bundle has thousands


def content_hash(bundle: Bundle) -> str:
    """What the file of ``bundle`` says of its content."""
    return hash_of(bundle.model_dump(mode="json"))


def hash_of(document: dict[str, Any]) -> str:
    """The hash of a bundle's JSON, however it is indented and ordered."""
    content = {name: value for name, value in document.items() if name != HASH}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write ``bundle`` as of ``write_bundle`` where a user wants it.

    Raises:
        FileError: if the folder cannot be written.
    """
    try:
        write_bundle(bundle, path)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(
            f"{path}: cannot write the bundle ({reason}); choose another place"
        ) from None


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Write ``bundle`` so that ``path`` holds the whole of it or what was there before.

    Raises:
        OSError: if the folder cannot be written.
    """
    write_whole(bundle_text(bundle), path)


def bundle_text(bundle: Bundle) -> str:
    """The file of ``bundle``."""
    document = bundle.model_dump(mode="json")
    return json.dumps(document | {HASH: hash_of(document)}, indent=1, allow_nan=False) + "\n"


def write_whole(text: str, path: Path) -> None:
    """Write ``text`` so that ``path`` holds the whole of it or what was there before.

    Raises:
        OSError: if the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def load_bundle(path: Path, *, edited: bool = False) -> Bundle:
    """The bundle at ``path``, with the same float64 numbers that were saved.

    Args:
        path: of the file; those of version 1 had no hash and are read as they are.
        edited: take also a file that was changed by hand: the bundle then says so and has no
            figures, since those were measured on another one.

    Raises:
        FileError: if the file is missing, no bundle, of a newer schema, changed since it was
            written, or holds an invalid table.
    """
    document = read_document(path)
    version = document["schema_version"]
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{path}: bundle schema {version} is newer than {SCHEMA_VERSION}, "
            "which this dss_ray reads; update dss_ray"
        )
    bundle = validated(document, path)
    if version == 1 or document.get(HASH) == hash_of(document):
        return bundle
    if not edited:
        raise FileError(
            f"{path}: changed since dss_ray wrote it, as its {HASH} says, so its figures and its "
            "origin may be those of another solver; fetch it again, or take the change over by "
            f"`dss-ray export {path} --edited -o FOLDER`"
        )
    return bundle.model_copy(update={"edited": True, "metrics": {}})


def read_document(path: Path) -> dict[str, Any]:
    """The JSON of a bundle file of any version, not yet checked."""
    try:
        if path.exists() and not path.is_file():
            raise FileError(f"{path}: cannot read the bundle (not a file)")
        if path.stat().st_size > LARGEST:
            raise FileError(f"{path}: expected a solver bundle, this file is far too large for one")
        document = from_json(path.read_bytes(), allow_inf_nan=False)
    except OSError as error:
        raise FileError(f"{path}: cannot read the bundle ({error.strerror})") from None
    except ValueError as error:
        raise FileError(f"{path}: expected a solver bundle, this is no JSON ({error})") from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise FileError(
            f"{path}: expected a solver bundle, this JSON has no schema_version; "
            "`dss-ray export --format bundle` writes one"
        )
    return document


def validated(document: dict[str, Any], place: object) -> Bundle:
    """The bundle that a file's JSON stands for, its hash apart.

    Raises:
        FileError: if a field is wrong, foreign or missing; it names ``place``.
    """
    fields = {name: value for name, value in upgraded(document).items() if name != HASH}
    try:
        return Bundle.model_validate_json(json.dumps(fields))  # only as JSON lists are tuples
    except ValidationError as error:
        raise FileError(
            f"{place}: invalid bundle, {first_problem(error)}; export it again"
        ) from None


def first_problem(error: ValidationError) -> str:
    """Where the first problem lies, what it is, and how many others there are."""
    problem, *others = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in problem["loc"]) or "bundle"
    more = f" (and {len(others)} more)" if others else ""
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}{more}"
