"""Examines a deployed stack and its bucket. The checks that only judge are in ``checks``.

Imports ``access`` and ``manifests``.
"""

from s3_manifest_cli.client.doctor.examine import Limits, doctor
from s3_manifest_cli.client.doctor.model import Examination, Finding, Severity
from s3_manifest_cli.client.doctor.without_stack import doctor_bucket

__all__ = ["Examination", "Finding", "Limits", "Severity", "doctor", "doctor_bucket"]
