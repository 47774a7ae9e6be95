"""A function with only the layer: imports the whole package and returns what it found."""

import importlib
import pkgutil
import sys
from importlib.metadata import distributions

import s3_manifest


def handler(event, context):
    for module in pkgutil.walk_packages(s3_manifest.__path__, "s3_manifest."):
        importlib.import_module(module.name)
    return {
        "python": "{}.{}".format(*sys.version_info),
        "distributions": {d.name: d.version for d in distributions(path=["/opt/python"])},
        "imported_from": {name: sys.modules[name].__file__ for name in ("s3_manifest", "boto3", "pydantic_core")},
    }
