"""Examines a deployed stack or a bucket: the checks, their findings, and the repair of buckets' notifications.

Modules here send requests; those in ``checks`` turn the answers into findings. Imports ``access`` and ``manifests``.
"""

from s3_manifest_cli.client.doctor.examination import DoctorOptions, Limits, doctor, doctor_bucket
from s3_manifest_cli.client.doctor.findings import Examination, Finding, Severity

__all__ = ["DoctorOptions", "Examination", "Finding", "Limits", "Severity", "doctor", "doctor_bucket"]
