from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from unit.values import MORNING

from s3_manifest.aws import messaging
from s3_manifest.manifest.jobs import JobsNotQueued, Progress, Sweep, decode_job
from s3_manifest.reconcile.environment import AnnouncementFailed

EVENT = {"Source": "s3-manifest", "DetailType": "Manifest Changed", "EventBusName": "images", "Detail": "{}"}
FAULTS = [
    ClientError({"Error": {"Code": "AccessDenied", "Message": "not yours"}}, "Send"),
    EndpointConnectionError(endpoint_url="https://sqs.invalid"),
]


class Queue:
    """An SQS client that accepts every message except those to reject."""

    def __init__(self, refused=()):
        self.calls = []
        self._refused = refused

    def send_message_batch(self, QueueUrl, Entries):  # noqa: N803
        self.calls.append(Entries)
        failed = [
            {"Id": entry["Id"], "Code": "InternalError", "SenderFault": False}
            for entry in Entries
            if decode_job(entry["MessageBody"]).id in self._refused
        ]
        return {"Successful": [], **({"Failed": failed} if failed else {})}

    @property
    def jobs(self):
        return [decode_job(entry["MessageBody"]) for call in self.calls for entry in call]


def client_returning(response):
    """Returns a client with this response."""

    def call(**_):
        if isinstance(response, Exception):
            raise response
        return response

    return SimpleNamespace(put_events=call, send_message_batch=call)


def sweeps(count):
    return [Sweep(kind="style", id=str(number)) for number in range(count)]


def test_an_event_is_sent_unchanged():
    put = []
    client = SimpleNamespace(
        put_events=lambda **request: put.append(request) or {"FailedEntryCount": 0, "Entries": [{}]}
    )
    messaging.put_event(client, EVENT)
    assert put == [{"Entries": [EVENT]}]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_event_that_cannot_be_sent_fails_the_announcement(fault):
    with pytest.raises(AnnouncementFailed, match="event bus images"):
        messaging.put_event(client_returning(fault), EVENT)


def test_an_event_that_eventbridge_rejects_with_200_fails_the_announcement():
    refused = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}]}
    with pytest.raises(AnnouncementFailed, match="event bus images: InternalFailure: try again"):
        messaging.put_event(client_returning(refused), EVENT)


@pytest.mark.parametrize(("count", "calls"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_jobs_are_sent_ten_at_a_time(count, calls):
    queue = Queue()
    messaging.send_jobs(queue, "queue", iter(sweeps(count)), 0)
    assert [len(call) for call in queue.calls] == calls
    assert queue.jobs == sweeps(count)
    assert all(len({entry["Id"] for entry in call}) == len(call) for call in queue.calls)


def test_large_jobs_share_a_request_up_to_the_limit_of_sqs():
    large = [
        Sweep(
            kind="style",
            id="16",
            progress=Progress(created_at=MORNING, started_at=MORNING, looks=("ß" * 20_000,) * n),
        )
        for n in (1, 1, 1, 3, 1)
    ]
    queue = Queue()
    messaging.send_jobs(queue, "queue", large, 0)
    assert queue.jobs == large
    assert [len(call) for call in queue.calls] == [2, 1, 1, 1]


@pytest.mark.parametrize("delay", [0, 900])
def test_every_job_has_the_same_delay(delay):
    queue = Queue()
    messaging.send_jobs(queue, "queue", sweeps(11), delay)
    assert {entry["DelaySeconds"] for call in queue.calls for entry in call} == {delay}


@pytest.mark.parametrize("name", ["日本", "\ufffe\uffff", "\x00\x0b", 'a"b\\c', "🎨", "\x7f"])
def test_names_with_characters_that_sqs_rejects_are_transmitted(name):
    queue = Queue()
    messaging.send_jobs(queue, "queue", [Sweep(kind="style", id=name)], 0)
    assert queue.jobs == [Sweep(kind="style", id=name)]
    assert all(" " <= character <= "\x7f" for character in queue.calls[0][0]["MessageBody"])


@pytest.mark.parametrize("fault", FAULTS)
def test_jobs_that_cannot_be_sent_are_not_queued(fault):
    with pytest.raises(JobsNotQueued, match="queue"):
        messaging.send_jobs(client_returning(fault), "queue", sweeps(1), 0)


@pytest.mark.parametrize("refused", ["0", "9", "10"])
def test_one_job_that_sqs_rejects_with_200_fails_the_batch(refused):
    with pytest.raises(JobsNotQueued, match="InternalError"):
        messaging.send_jobs(Queue(refused=[refused]), "queue", sweeps(11), 0)
