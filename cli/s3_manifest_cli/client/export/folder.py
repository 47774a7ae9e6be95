"""A folder of this machine, for the formats that make several files."""

import os

from s3_manifest.model import Problem
from s3_manifest_cli.client.destination import Destination
from s3_manifest_cli.client.export.exported import Put
from s3_manifest_cli.errors import Invalid, Refused


def put_in(destination: Destination, problems: list[Problem]) -> Put:
    """Writes files below the destination, each in one step; a name that may not be there becomes a problem.

    What Put raises is ``Unavailable``, for what the disk does not do.
    """

    def put(name: str, body: bytes) -> None:
        try:
            with destination.partial(name, "export") as partial:
                os.ftruncate(partial.fd, 0)
                with os.fdopen(os.dup(partial.fd), "wb") as file:
                    file.write(body)
                partial.finish()
        except (Invalid, Refused) as error:
            problems.append(Problem(s3_key=name, problem=str(error)))

    return put
