"""Whole files: read completely, and replaced only when the new file is complete on disk.

Every function takes the class of the error that it raises, an `ImpastoError` or a child of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import IO

from impasto.errors import ImpastoError

__all__ = [
    "check_target",
    "one_line",
    "read_file",
    "replace_file",
    "sha256_of",
    "temporary_beside",
    "write_all",
    "write_file",
]


def read_file(
    path: str | os.PathLike[str], kind: str, *, error: type[ImpastoError] = ImpastoError
) -> bytes:
    """Return all bytes of a file.

    Args: kind: the expected kind of file, in words: "a picture".

    Raises: error: there is no such file, it cannot be read, or it is empty.
    """
    source = Path(path)
    if source.is_dir():
        raise error(f"is a folder, not {kind}", path=path)
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        raise error("cannot be read: there is no such file", path=path) from None
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the path
        raise error(f"cannot be read: {one_line(fault)}", path=path) from fault
    if not data:
        raise error("is empty", path=path)
    return data


def sha256_of(path: str | os.PathLike[str], *, error: type[ImpastoError] = ImpastoError) -> str:
    """Return the SHA-256 of a file's bytes, in hex. Raises: error: it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise error(f"cannot be read: {one_line(fault)}", path=path) from fault


def check_target(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = True,
    error: type[ImpastoError] = ImpastoError,
) -> None:
    """Check before a long run that `write_file` can write there, and make missing folders.

    Raises: error: the path is a folder, is a file that may not be replaced, or cannot be written.
    """
    target = _target(path, overwrite, error)
    if target.exists() and not target.is_file():
        return
    try:
        with temporary_beside(target).open("xb") as trial:
            pass
        Path(trial.name).unlink()
    except OSError as fault:
        raise error(
            f"cannot be written: {one_line(fault)} in {target.parent}", path=path
        ) from fault


def write_file(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    overwrite: bool = True,
    error: type[ImpastoError] = ImpastoError,
) -> None:
    """Write a whole file; an old one is replaced only when the new one is complete on disk.

    Devices and pipes cannot be replaced, so the data is written into them.

    Raises: error: as for `check_target`, or the disk is full.
    """
    target = _target(path, overwrite, error)
    try:
        if target.exists() and not target.is_file():
            with target.open("wb", buffering=0) as device:
                write_all(device, data)
        else:
            replace_file(target, data)
    except OSError as fault:
        raise error(f"cannot be written: {one_line(fault)}", path=path) from fault


def replace_file(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a temporary file beside the target, and rename it when it is complete.

    Args: durable: wait until the disk has the file. Otherwise, a power cut may destroy it.

    Raises: OSError: the file cannot be written. The temporary file is then deleted.
    """
    temporary = temporary_beside(target)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # it is still there only after an error


def temporary_beside(target: Path) -> Path:
    """Return a new name for an unfinished file, in the folder where it will be renamed."""
    return target.with_name(f".impasto-{secrets.token_hex(8)}.tmp")


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write all bytes into an open file, even if each call writes only some of them."""
    rest = memoryview(data)
    while rest:
        count = file.write(rest)
        rest = rest[len(rest) if count is None else count :]
    if hasattr(file, "flush"):
        file.flush()


# A sentence that advises something to a program that uses a library, not to a person who uses
# impasto: an imperative, a page, a switch such as weights_only=False, a constant such as
# ImageFile.LOAD_TRUNCATED_IMAGES.
_ADVICE = re.compile(
    r"^(?:please|use|set|pass|try|see|increase|consider|check|ensure|make sure|call|run|report)\b"
    r"|https?://|\b\w+=(?:true|false|none)\b|\b(?-i:[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>", re.IGNORECASE)


def one_line(fault: BaseException) -> str:
    """Return the message of an error from the system or from a decoder, on one line.

    Advice is left out, because it is about the functions of the library.
    """
    if text := getattr(fault, "strerror", None):
        return str(text)
    text = " ".join(_OBJECT.sub("", str(fault)).split())
    if not text:
        return type(fault).__name__
    sentences = re.split(r"(?<=[.;!])\s+", text)
    useful = [each for each in sentences if not _ADVICE.search(each)]
    return " ".join(useful).rstrip(";") or "the library gives no reason"


def _target(path: str | os.PathLike[str], overwrite: bool, error: type[ImpastoError]) -> Path:
    """Follow links, make missing folders, and check what is there already."""
    try:
        target = Path(os.path.realpath(path))  # so that a link stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        exists, is_folder, is_file = target.exists(), target.is_dir(), target.is_file()
    except (FileExistsError, NotADirectoryError) as fault:
        raise error(
            "cannot be written: a part of its folder is a file; name another folder", path=path
        ) from fault
    except (OSError, ValueError) as fault:
        raise error(f"cannot be written: {one_line(fault)}", path=path) from fault
    if is_folder:
        raise error("cannot be written: it is a folder", path=path)
    if is_file and not overwrite:
        raise error(
            "exists already; to replace it, use overwrite=True (--force on the command line)",
            path=path,
        )
    if exists and not os.access(target, os.W_OK):
        raise error("cannot be written: it is read-only for this user", path=path)
    return target
