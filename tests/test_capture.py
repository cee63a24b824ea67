"""Any value can be captured: the result is JSON, the call is not broken, the trace not lost."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import io
import json
import pathlib
import threading
import types
import uuid
import warnings
from unittest import mock

import numpy as np
import pydantic
import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.model.capture import capture, decode

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pydantic.v1 under a new Python
    from pydantic import v1

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


@given(json_values)
def test_plain_json_is_captured_without_loss(value):
    assert decode(capture(value)) == value


class Raises:
    """Raises at whatever is done with it."""

    def __repr__(self):
        raise RuntimeError("repr")

    __str__ = __bytes__ = __len__ = __iter__ = __eq__ = __bool__ = __int__ = __dir__ = __repr__

    def __hash__(self):
        raise RuntimeError("hash")

    def __getattr__(self, name):
        raise RuntimeError("attribute")

    @property
    def __class__(self):
        raise RuntimeError("class")


class RaisesMore(Raises):
    def __repr__(self):
        raise SystemExit(1)

    @property
    def __dict__(self):
        raise RuntimeError("dict")


class Meta(type):
    def __getattr__(cls, name):
        raise RuntimeError("of the class")

    def __repr__(cls):
        raise RuntimeError("repr of the class")


class OddClass(metaclass=Meta):
    pass


class Text(str):
    __slots__ = ()

    def encode(self, *args):
        raise RuntimeError

    __str__ = __repr__ = __iter__ = __len__ = encode


class Number(int):
    def __repr__(self):
        raise RuntimeError

    __str__ = __int__ = __index__ = __le__ = __ge__ = __gt__ = __lt__ = __repr__


class Real(float):
    def __repr__(self):
        raise RuntimeError

    __str__ = __float__ = __repr__


class Endless(dict):
    """A dictionary that changes while it is read."""

    def items(self):
        while True:
            yield "a", 1

    def __len__(self):
        self[len(self.keys())] = 1
        return 5

    __iter__ = keys_ = items


class EndlessList(list):
    def __iter__(self):
        while True:
            yield 1


class Shrinking:
    """Empties the containers that it is in when it is looked at."""

    def __init__(self):
        self.holders = []

    def __repr__(self):
        for holder in self.holders:
            holder.clear()
        return "shrunk"


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)
    ODD = object()


class StrColour(str, enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Data:
    x: object
    y: object = None


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("x",)
    x: object


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow")
    a: object = 1
    secret: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    hidden: str = pydantic.Field("hunter2", exclude=True)


class NanModel(Model):
    model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")
    f: float = float("nan")
    text: str = "NaN"


class FailingModel(Model):
    @pydantic.field_serializer("a")
    def fail(self, value):
        raise RuntimeError("serializer")


class OldModel(v1.BaseModel):
    a: object = 1
    secret: v1.SecretStr = v1.SecretStr("hunter2")


class FailingOldModel(OldModel):
    def dict(self, **kwargs):
        raise RuntimeError("dict")


def cyclic(kind):
    value = kind()
    value.append(value) if kind is list else value.update(me=value)
    return value


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def tangle():
    nodes = [{} for _ in range(30)]
    for node in nodes:
        node["others"] = [*nodes]
    return nodes


def shrinking(kind):
    thing = Shrinking()
    value = (
        [thing, *map(str, range(100))]
        if kind is list
        else {"a": thing, **{str(i): [i] for i in range(100)}}
    )
    thing.holders.append(value)
    return value


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024
NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)

KNOWN = [
    (float("nan"), None),
    ([float("inf"), -float("inf")], [None, None]),
    ("\ud800", "\\ud800"),
    ({"\udfff": 1}, {"\\udfff": 1}),
    (b"abc", "data:application/octet-stream;base64,YWJj"),
    (memoryview(b"abc"), "data:application/octet-stream;base64,YWJj"),
    (2**64 - 1, 2**64 - 1),
    (2**64, "18446744073709551616"),
    ([10**10_000], [hex(10**10_000)]),
    ({1, 2}, [1, 2]),
    (collections.deque([1]), [1]),
    ((1, (2,)), [1, [2]]),
    (Point(1, [2]), {"x": 1, "y": [2]}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    ({1: 2, None: 3, False: 4, 1.5: 5}, {"1": 2, "null": 3, "false": 4, "1.5": 5}),
    ({(1, 2): 3, b"a": 4}, {"[1,2]": 3, "data:application/octet-stream;base64,YQ==": 4}),
    ({Colour.RED: 1, StrColour.RED: 2, NOW: 3}, {"red": 2, "2026-01-02T03:04:05+00:00": 3}),
    (Colour.RED, "red"),
    (Colour.PAIR, [1, 2]),
    (StrColour.RED, "red"),
    (Data(1, Data(2)), {"x": 1, "y": {"x": 2, "y": None}}),
    (Data({1, 2}), {"x": [1, 2], "y": None}),
    (Slotted(b""), {"x": "data:application/octet-stream;base64,"}),
    (NOW, "2026-01-02T03:04:05+00:00"),
    (NOW.date(), "2026-01-02"),
    (dt.timedelta(1), "1 day, 0:00:00"),
    (decimal.Decimal("1.10"), "1.10"),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=5), str(uuid.UUID(int=5))),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (ValueError("x"), {"type": "ValueError", "message": "x"}),
    (len, "builtins.len"),
    (int, "builtins.int"),
    (range(3), "range(0, 3)"),
    (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    (np.float32(0.5), 0.5),
    (np.float64("nan"), None),
    (np.bool_(True), True),
    (np.datetime64("2026-01-02"), "2026-01-02"),
    (np.array([b"a", {1}], dtype=object), ["data:application/octet-stream;base64,YQ==", [1]]),
    (
        np.zeros((1000, 200)),
        {"type": "ndarray", "dtype": "float64", "shape": [1000, 200], "first": [0.0] * 10},
    ),
    (Model(), {"a": 1, "secret": "**********"}),
    (Model(a={1}, z=Data(1)), {"a": [1], "secret": "**********", "z": {"x": 1, "y": None}}),
    (NanModel(), {"a": 1, "secret": "**********", "f": None, "text": "NaN"}),
    (FailingModel(), {"a": 1, "secret": "**********"}),
    (OldModel(), {"a": 1, "secret": "SecretStr('**********')"}),
    (FailingOldModel(), {"a": 1, "secret": "SecretStr('**********')"}),
    (pydantic.SecretStr("hunter2"), "**********"),
    (cyclic(list), ["<cycle to list>"]),
    ({"a": [cyclic(dict)]}, {"a": [{"me": "<cycle to dict>"}]}),
    (Text("text"), "text"),
    ([Text("\ud800"), {1}], ["\\ud800", [1]]),
    ([Number(5), Number(2**70), {1}], [5, str(2**70), [1]]),
    ([Real(0.5), {1}], [0.5, [1]]),
    (Endless(a={1}), {"a": [1]}),
    (EndlessList([{1}]), [[1]]),
    (shrinking(list), ["shrunk", *map(str, range(100))]),
    (shrinking(dict), {"a": "shrunk", **{str(i): [i] for i in range(100)}}),
    ({"a": 1, "b": Colour.ODD}, {"a": 1, "b": repr(Colour.ODD.value)}),
    ("x" * 10_000_000, "x" * 10_000_000),
]

ODD = [
    Raises(),
    RaisesMore(),
    OddClass,
    OddClass(),
    [1, Raises(), {"a": RaisesMore()}],
    {"a": Raises(), "b": "kept"},
    Data(Raises()),
    Model(a=Raises(), z=RaisesMore()),
    nested(300),
    nested(100_000),
    tangle(),
    [nested(1_000), Raises()],
    Model(a=cyclic(list)),
    np.longdouble(1),
    np.array([OddClass()], dtype=object),
    np.dtype("int8"),
    np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    memoryview(b"abcdef")[::2],
    threading.Lock(),
    io.StringIO("text"),
    mock.MagicMock(),
    mock.MagicMock(spec=dict),
    mock.AsyncMock(spec=Model),
    object(),
    type("Weird", (), {"__module__": 5, "__dataclass_fields__": 7})(),
    lambda: 1,
    types.SimpleNamespace(a=1),
    print,
    Model,
    complex(1, 2),
    slice(1),
    ...,
    NotImplemented,
    1e308 * 10,
]


@pytest.mark.parametrize(("value", "expected"), KNOWN, ids=lambda v: type(v).__name__)
def test_what_json_does_not_know_is_captured_readably(value, expected):
    data = capture(value)
    assert decode(data) == expected
    assert json.loads(data) == expected
    assert b"hunter2" not in data


VALUES = {f"{n} {type(v).__name__}": v for n, v in enumerate([*ODD, *(v for v, _ in KNOWN)])}


@pytest.mark.parametrize("name", VALUES)  # pytest cannot bear some of the values themselves
def test_no_argument_breaks_the_call_or_loses_the_trace(name, one_trace):
    value = VALUES[name]

    @spanlog.trace
    def call(argument, other="kept"):
        with spanlog.start_span("inner", attributes={"a": argument}) as span:
            span.set_inputs([argument])
            span.set_outputs({"o": argument})
        return argument

    assert call(value) is value
    outer, inner = one_trace().data.spans
    assert outer.inputs["other"] == "kept"
    assert inner.attributes.keys() == {"a"}
    assert inner.outputs.keys() == {"o"}
    assert json.loads(one_trace().to_json())["info"]["state"] == "OK"


def test_generators_iterators_and_files_are_not_consumed(tmp_path):
    file = tmp_path / "file"
    file.write_text("text")
    with file.open() as opened:
        values = [
            (i for i in "abc"),
            iter("abc"),
            map(str, "abc"),
            zip("abc", "abc", strict=True),
            opened,
        ]
        capture(values)
        capture({"a": values, 5: {1}})
        assert [len(list(value)) for value in values] == [3, 3, 3, 3, 1]


def test_pieces_that_fail_do_not_take_the_others_with_them():
    captured = decode(capture({"a": [1, Raises(), "\ud800"], "b": {"c": 2**70}, "d": NOW}))
    assert captured["a"][::2] == [1, "\\ud800"]
    assert captured["a"][1].startswith("<Raises object at")
    assert captured["b"] == {"c": str(2**70)}


any_values = st.recursive(
    st.one_of(
        st.none(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(),
        st.complex_numbers(),
        st.datetimes(timezones=st.timezones()),
        st.timedeltas(),
        st.decimals(),
        st.uuids(),
        st.sampled_from(
            [n for n in VALUES if not n.endswith(("list", "Raises", "RaisesMore"))]
        ).map(lambda name: VALUES[name]),
    ),
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.text(st.characters()) | st.integers() | st.binary(), inner),
        st.builds(Data, inner, inner),
        st.builds(Model, a=inner, z=inner),
        st.builds(lambda *items: collections.deque(items), inner, inner),
        st.builds(lambda v: np.array([None, {"held": v}], dtype=object), inner),
    ),
    max_leaves=10,
)


@given(any_values)
def test_any_value_is_captured_as_json_at_once(value):
    @spanlog.trace
    def call(argument):
        return argument

    assert call(value) is value
    span = spanlog.get_trace(spanlog.get_last_active_trace_id()).data.spans[0]
    assert json.loads(capture(span.inputs)) == span.inputs
    assert span.inputs.keys() == {"argument"}
    assert capture(span.inputs["argument"]) == capture(span.outputs)
