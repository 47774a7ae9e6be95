"""S3's XML: listings, deletions and errors.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from urllib.parse import quote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from s3_manifest.storage.store import ListedObject, Listing

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
# A key has at most 1024 bytes, so no key with the same beginning is greater.
_LAST_BELOW = "\U0010ffff" * 256
_FOLDERS_PER_STEP = 50

DELETED = f'{_DECLARATION}<DeleteResult xmlns="{_NAMESPACE}"></DeleteResult>'
"""The response to a successful quiet deletion."""


def listing(objects: Callable[..., Listing], bucket: str, parameters: Mapping[str, str]) -> str:
    """The response to ListObjectsV2; ``objects`` lists like a ``Store``."""
    assert parameters["encoding-type"] == "url", "boto3 always requests it"
    prefix, limit = parameters.get("prefix", ""), int(parameters.get("max-keys", "1000"))
    token = parameters.get("continuation-token")
    after = _untoken(token) if token else parameters.get("start-after", "")
    delimiter = parameters.get("delimiter", "")
    if delimiter:
        entries = list(islice(_grouped(objects, prefix, after, delimiter), limit + 1))
        items, truncated = entries[:limit], len(entries) > limit
    else:
        page = objects(prefix, after=after, limit=limit)
        items, truncated = list(page.objects), page.truncated
    next_token = f"<NextContinuationToken>{_token(items[-1])}</NextContinuationToken>" if truncated else ""
    return (
        f'{_DECLARATION}<ListBucketResult xmlns="{_NAMESPACE}"><Name>{bucket}</Name>'
        f"<Prefix>{_encoded(prefix)}</Prefix>{next_token}<KeyCount>{len(items)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>{str(truncated).lower()}</IsTruncated>"
        f"{''.join(map(_item, items))}</ListBucketResult>"
    )


def keys_to_delete(body: bytes) -> list[str]:
    """The keys that a DeleteObjects request names."""
    return [key.text or "" for key in ET.fromstring(body).iter(f"{{{_NAMESPACE}}}Key")]  # noqa: S314  # our own


def error(code: str) -> str:
    """The body of an error response."""
    return (
        f"{_DECLARATION}<Error><Code>{code}</Code><Message>{code}</Message>"
        "<RequestId>656C76696E6727</RequestId><HostId>Vvag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7</HostId></Error>"
    )


def _grouped(objects: Callable[..., Listing], prefix: str, after: str, delimiter: str) -> Iterator[ListedObject | str]:
    """Objects and common prefixes, in order."""
    truncated = True
    while truncated:
        page = objects(prefix, after=after, limit=_FOLDERS_PER_STEP)
        truncated = page.truncated
        for listed in page.objects:
            name, separator, _ = listed.key.removeprefix(prefix).partition(delimiter)
            if separator:
                yield (folder := f"{prefix}{name}{delimiter}")
                after, truncated = folder + _LAST_BELOW, True
                break
            yield listed
            after = listed.key


def _item(item: ListedObject | str) -> str:
    if isinstance(item, str):
        return f"<CommonPrefixes><Prefix>{_encoded(item)}</Prefix></CommonPrefixes>"
    return (
        f"<Contents><Key>{_encoded(item.key)}</Key><LastModified>{item.last_modified}</LastModified>"
        f"<ETag>&quot;{item.etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{item.size}</Size>"
        f"<StorageClass>{item.storage_class}</StorageClass></Contents>"
    )


def _encoded(text: str) -> str:
    return escape(quote(text, safe="/"))


def _token(item: ListedObject | str) -> str:
    last = item + _LAST_BELOW if isinstance(item, str) else item.key
    return base64.urlsafe_b64encode(last.encode()).decode()


def _untoken(token: str) -> str:
    return base64.urlsafe_b64decode(token).decode()
