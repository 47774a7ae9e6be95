"""A folder of this machine, for the formats that make several files."""

import os

from s3_manifest_cli.client.export.exported import CannotHold, Put
from s3_manifest_cli.client.local.destination import Destination
from s3_manifest_cli.client.local.disk import telling
from s3_manifest_cli.client.local.names import folded
from s3_manifest_cli.errors import Invalid, Refused


def put_in(destination: Destination) -> Put:
    """Writes files below the destination, each in one step, in place of the file that is there.

    Names that this disk takes for one are one file: the first is written. What it raises beside
    ``CannotHold`` is ``Unavailable``, for what the disk does not do.
    """
    taken: dict[str, str] = {}

    def put(name: str, body: bytes) -> None:
        other = taken.setdefault(folded(name, destination.file_system), name)
        if other != name:
            raise CannotHold(f"{name!r} and {other!r} are one name to this disk; rename one in S3")
        try:
            _write(destination, name, body)
        except (Invalid, Refused) as error:
            raise CannotHold(str(error)) from error

    return put


def _write(destination: Destination, name: str, body: bytes) -> None:
    with destination.partial(name, "export") as partial:
        try:
            with telling(name, "not written"), os.fdopen(partial.fd, "wb", closefd=False) as file:
                file.truncate(0)
                file.write(body)
            partial.finish()
        except BaseException:
            partial.discard()
            raise
