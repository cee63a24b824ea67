"""Binary content is kept once, beside the traces; inputs and outputs refer to it."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.entities import Attachment
from spanlog.model import attachments
from spanlog.model.capture import capture
from spanlog.runtime import current_store, default
from spanlog.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spanlog.entities import Trace

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PDF = b"%PDF-1.7\n" + b"x\xff" * 6_000
NOISE = hashlib.sha256(b"").digest() * 400


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def record(value: Any) -> None:
    with spanlog.start_span("s") as span:
        span.set_inputs(value)
        span.set_outputs({"said": value})


SHAPES = {
    "openai-image": (
        {"image_url": {"url": f"data:image/png;base64,{text_of(PNG)}"}},
        ("image/png", PNG, "data"),
    ),
    "openai-audio": (
        {"input_audio": {"data": text_of(b"RIFF\x00\x00\x00\x00WAVE" + NOISE), "format": "wav"}},
        ("audio/wav", b"RIFF\x00\x00\x00\x00WAVE" + NOISE, "base64"),
    ),
    "openai-b64_json": ({"data": [{"b64_json": text_of(PNG)}]}, ("image/png", PNG, "base64")),
    "anthropic": (
        {"source": {"type": "base64", "media_type": "application/pdf", "data": text_of(PDF)}},
        ("application/pdf", PDF, "base64"),
    ),
    "gemini": (
        {"inlineData": {"data": text_of(NOISE), "mimeType": "audio/pcm"}},
        ("audio/pcm", NOISE, "base64"),
    ),
    "gemini-urlsafe": (
        {
            "inline_data": {
                "mime_type": "image/webp",
                "data": base64.urlsafe_b64encode(b"\xff\xfe" * 5_000).decode(),
            }
        },
        ("image/webp", b"\xff\xfe" * 5_000, "base64url"),
    ),
    "python-bytes": ({"audio": NOISE}, ("application/octet-stream", NOISE, "data")),
    "python-bytes-known": ({"file": PNG}, ("image/png", PNG, "data")),
}


@pytest.mark.stores
@pytest.mark.parametrize("shape", SHAPES)
def test_large_content_is_a_reference_and_its_bytes_can_be_had_back(
    one_trace: Callable[[], Trace], shape: str
) -> None:
    value, (media_type, content, encoding) = SHAPES[shape]
    record(value)
    (span,) = one_trace().data.spans
    (found,) = span.attachments
    sha256 = hashlib.sha256(content).hexdigest()
    assert found == Attachment(sha256, media_type, len(content), encoding)
    assert found.content == content
    assert spanlog.get_attachment(found.reference) == content
    assert spanlog.get_attachment(sha256) == content
    assert Attachment.of(found.reference) == found
    assert found.reference in str(span.inputs)
    assert len(span.inputs_json or "") < 400
    assert span.outputs == {"said": span.inputs}


@pytest.mark.stores
def test_content_is_kept_once_however_often_it_is_sent(
    traces: Callable[[], list[Trace]],
) -> None:
    large = PNG * 100
    for turn in range(5):
        record({"turn": turn, "image": large})
    spanlog.flush()
    found = {a for trace in traces() for span in trace.data.spans for a in span.attachments}
    assert len(found) == 1
    with current_store()._transaction(reads=True) as connection:
        kept = connection.exec_driver_sql("select length(content) from attachments").all()
    assert kept == [(len(large),)]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(text_of(PNG[:2_000]), id="small"),
        pytest.param({"text": "word " * 4_000}, id="prose"),
        pytest.param({"text": "x" * 10_000}, id="one-letter"),
        pytest.param({"id": NOISE.hex()}, id="hex"),
        pytest.param({"data": text_of(NOISE)}, id="base64-of-what-nobody-says"),
        pytest.param({"data": "A" + text_of(PNG), "media_type": "image/png"}, id="not-quite"),
        pytest.param({text_of(NOISE): 1}, id="key"),
    ],
)
def test_what_is_small_or_not_known_to_be_binary_stays_as_it_is(
    one_trace: Callable[[], Trace], value: Any
) -> None:
    record(value)
    (span,) = one_trace().data.spans
    assert span.inputs == value
    assert span.attachments == []


def test_the_size_from_which_it_counts_can_be_set(
    one_trace: Callable[[], Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default().settings, "attachment_bytes", 100_000)
    record({"image": PNG})
    (span,) = one_trace().data.spans
    assert base64.b64decode(span.inputs["image"].partition(",")[2]) == PNG


@pytest.mark.stores
def test_content_goes_with_the_last_trace_that_has_it(
    traces: Callable[[], list[Trace]], tmp_path: Path
) -> None:
    record(PNG)
    record(PNG)
    first, second = traces()
    (attachment,) = first.data.spans[0].attachments
    spanlog.delete_traces(trace_ids=[first.info.trace_id])
    assert attachment.content == PNG
    spanlog.delete_traces(trace_ids=[second.info.trace_id])
    with pytest.raises(StoreError, match=f"no attachment {attachment.sha256} in"):
        _ = attachment.content


def test_a_store_of_an_earlier_version_is_brought_up_to_date(
    traces: Callable[[], list[Trace]], tmp_path: Path
) -> None:
    record("before")
    spanlog.flush()
    spanlog.set_tracking_uri(str(tmp_path / "other.db"))
    with sqlite3.connect(tmp_path / "spanlog.db") as db:
        db.execute("drop table attachments")
        db.execute("drop table trace_attachments")
        db.execute("update spanlog_schema set version = 1")
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    record(PNG)
    before, now = traces()
    assert before.data.spans[0].inputs == "before"
    assert now.data.spans[0].attachments[0].content == PNG


@given(
    content=st.binary(min_size=60, max_size=500),
    how=st.sampled_from(["data", "base64", "base64url"]),
    around=st.text(),
)
def test_what_a_reference_stands_for_is_exactly_what_was_there(
    content: bytes, how: str, around: str
) -> None:
    text = Attachment("0" * 64, "image/png", len(content), how).encoded(content)
    before = {"around": around, "media_type": "image/png", "data": text}
    kept: dict[str, bytes] = {}
    after = orjson.loads(attachments.take_out(capture(before), kept.__setitem__, most=60))
    for sha256, kept_content in kept.items():
        assert hashlib.sha256(kept_content).hexdigest() == sha256
        assert kept_content == content
    reference = Attachment.of(after["data"])
    assert (reference is None) == (not kept)
    restored = text if reference is None else reference.encoded(kept[reference.sha256])
    assert {**after, "data": restored} == before
    assert reference is not None or len(text) <= 80
