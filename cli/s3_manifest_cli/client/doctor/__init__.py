"""What is wrong with a deployed stack, or with a bucket alone, each finding with its mend."""

from s3_manifest_cli.client.doctor.examine import Limits, doctor
from s3_manifest_cli.client.doctor.model import Examination, Finding, Severity
from s3_manifest_cli.client.doctor.without_stack import doctor_bucket

__all__ = ["Examination", "Finding", "Limits", "Severity", "doctor", "doctor_bucket"]
