"""Whole files: read completely, and replaced only when the new file is complete on disk.

The functions with an argument `error` raise this class, an `ImpastoError` or a child of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from impasto.errors import ImpastoError, SettingsError

__all__ = [
    "NamedFile",
    "check_results",
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

    Raises: error: there is no such file, it is a folder, it cannot be read, or it is empty.
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


# The name of a file in messages, such as "the photo" or a flag; and its path, or the descriptor of
# an open file.
NamedFile = tuple[str, "str | os.PathLike[str] | int"]


def check_results(reads: Iterable[NamedFile], writes: Iterable[NamedFile]) -> None:
    """Check before a run that none of its results replaces one of its inputs, or another result.

    Every command that paints calls this function, and no option overrides it. It compares files by
    device and inode. So a link, a hard link or another spelling of a path counts as the file.

    Args:
        reads: the inputs; a folder stands for itself and for the files in it.
        writes: the files that will be written, replaced or deleted, each with its flag. Folders
            are only compared with the folders among the inputs.

    Raises: SettingsError: a result is an input, or two results are one file.
    """
    known: dict[tuple[int, int], tuple[str, str]] = {}
    for name, path in reads:
        for each in (path, *_files_in(path)):
            known.setdefault(_identity(each), (name, _shown(each)))
    known.pop(_NO_FILE, None)
    results: dict[object, str] = {}
    for flag, path in writes:
        key = _identity(path)
        if key in known:
            name, read = known[key]
            raise SettingsError(
                f"{flag} {_shown(path)} would overwrite {read}, which is {name}; inputs are never "
                "overwritten, even with --force: give the result another name"
            )
        place: object = key
        if key == _NO_FILE and not isinstance(path, int):
            place = os.path.realpath(path)
        if results.setdefault(place, flag) != flag:
            raise SettingsError(
                f"is named for two results, {results[place]} and {flag}; give each its own file",
                path=_shown(path),
            )


_NO_FILE = (0, 0)  # There is no such file, or it is a device, which a run may read and write.


def _identity(path: str | os.PathLike[str] | int) -> tuple[int, int]:
    """Return the device and the inode of a file or a folder."""
    try:
        found = os.fstat(path) if isinstance(path, int) else os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return _NO_FILE
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        return found.st_dev, found.st_ino
    return _NO_FILE


def _files_in(folder: str | os.PathLike[str] | int) -> list[str]:
    """Return the files in a folder; []: the path is not a folder, or cannot be read."""
    if isinstance(folder, int) or not os.path.isdir(folder):  # noqa: PTH112
        return []
    try:
        return [entry.path for entry in os.scandir(folder)]
    except OSError:
        return []


def _shown(path: str | os.PathLike[str] | int) -> str:
    return "the redirected file" if isinstance(path, int) else os.fspath(path)


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


# Matches a sentence that gives advice to the programmer who uses a library. A person who uses
# impasto cannot follow it. Such a sentence has an imperative, the address of a page, an argument
# such as weights_only=False, or a constant such as ImageFile.LOAD_TRUNCATED_IMAGES.
_ADVICE = re.compile(
    r"^(?:please|use|set|pass|try|see|increase|consider|check|ensure|make sure|call|run|report)\b"
    r"|https?://|\b\w+=(?:true|false|none)\b|\b(?-i:[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>", re.IGNORECASE)
_LONGEST = 300  # characters of a message


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
    text = " ".join(useful).rstrip(";") or "the library gives no reason"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"  # libtiff lists every tag


def _target(path: str | os.PathLike[str], overwrite: bool, error: type[ImpastoError]) -> Path:
    """Follow links, make missing folders, and check whether the path can be written."""
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
