"""What is wrong with a deployed stack, each finding with its mend."""

from s3_manifest_cli.client.doctor.examine import Limits, doctor
from s3_manifest_cli.client.doctor.model import Examination, Finding, Severity

__all__ = ["Examination", "Finding", "Limits", "Severity", "doctor"]
