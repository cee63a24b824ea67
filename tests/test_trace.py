"""`@spanlog.trace`: every call is recorded, and nothing else about the function changes."""

import asyncio
import copy
import functools
import gc
import inspect
import math
import operator
import pickle
import statistics
import types
import warnings

import pytest
import spanlog
from spanlog import safety
from spanlog.entities import SpanStatusCode


def add(a, b=2, *rest, c: int = 3, **more):
    """Add."""
    return a + b


async def add_later(a, b=2):
    """Add later."""
    return a + b


def count(n, step=1):
    """Count."""
    yield from range(0, n, step)


async def count_later(n):
    """Count later."""
    for i in range(n):
        yield i


traced_add = spanlog.trace(add)


@spanlog.trace
def by_name(x):
    return x


@spanlog.trace(name="other", span_type="TOOL")
async def by_name_later(x):
    return x


@spanlog.trace
def by_name_items():
    yield 1


class Tool:
    """Has a traced method of every kind."""

    @spanlog.trace
    def plain(self, x):
        return x

    @spanlog.trace
    async def later(self, x):
        return x

    @spanlog.trace
    def items(self, x):
        yield x

    @spanlog.trace
    @classmethod
    def of_class(cls, x):
        return x

    @classmethod
    @spanlog.trace
    def of_class_inside(cls, x):
        return x

    @spanlog.trace
    @staticmethod
    def static(x):
        return x

    @staticmethod
    @spanlog.trace
    def static_inside(x):
        return x

    @spanlog.trace
    @classmethod
    async def of_class_later(cls, x):
        return x

    @staticmethod
    @spanlog.trace
    async def static_later(x):
        return x

    def __eq__(self, other):
        return type(other) is Tool

    __hash__ = None


class Adder:
    """A callable object."""

    def __init__(self, by):
        self.by = by

    def __call__(self, x):
        return x + self.by


class AsyncAdder(Adder):
    async def __call__(self, x):
        return x + self.by


def run(value):
    """Do what was called to its end, whatever it is."""
    if inspect.isasyncgen(value):

        async def collect():
            return [item async for item in value]

        return asyncio.run(collect())
    if inspect.iscoroutine(value):
        return asyncio.run(value)
    return list(value) if inspect.isgenerator(value) else value


FUNCTIONS = [add, add_later, count, count_later]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("decorate", [spanlog.trace, spanlog.trace(name="own", span_type="TOOL")])
def test_a_call_is_recorded_and_gives_what_it_gave(function, decorate, one_trace):
    assert run(decorate(function)(4)) == run(function(4))
    (span,) = one_trace().data.spans
    bare = decorate is spanlog.trace
    assert (span.name, span.span_type) == (
        (function.__name__, "UNKNOWN") if bare else ("own", "TOOL")
    )
    assert span.inputs["a" if "add" in function.__name__ else "n"] == 4
    assert span.outputs == run(function(4))
    assert span.status.status_code is SpanStatusCode.OK
    assert span.end_time_ns >= span.start_time_ns


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_traced_function_looks_like_the_function(function):
    traced = spanlog.trace(function)
    for ask in (
        inspect.signature,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
        inspect.getdoc,
        inspect.getsource,
        operator.attrgetter("__name__"),
        operator.attrgetter("__qualname__"),
        operator.attrgetter("__module__"),
        operator.attrgetter("__annotations__"),
    ):
        assert ask(traced) == ask(function), ask
    assert traced.__wrapped__ is function
    assert copy.copy(traced) is copy.deepcopy(traced) is traced


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_call_returns_looks_like_the_untraced(function):
    traced, plain = spanlog.trace(function)(1), function(1)
    assert type(traced) is type(plain)
    if hasattr(plain, "__name__"):
        assert (traced.__name__, traced.__qualname__) == (plain.__name__, plain.__qualname__)
    run(traced), run(plain)


@pytest.mark.parametrize("function", [by_name, by_name_later, by_name_items])
def test_a_traced_function_is_pickled_by_its_name(function):
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize("method", ["plain", "later", "items", "of_class", "static_later"])
def test_a_traced_method_is_pickled_with_its_object(method):
    bound = getattr(Tool(), method)
    again = pickle.loads(pickle.dumps(bound))
    assert run(again(5)) == run(bound(5))
    assert run(copy.deepcopy(bound)(5)) == run(bound(5))


@pytest.mark.parametrize("name", [n for n in vars(Tool) if not n.startswith("__")])
@pytest.mark.parametrize("owner", [Tool(), Tool])
def test_methods_of_every_kind_are_recorded_without_self(name, owner, one_trace):
    method = getattr(owner, name)
    if owner is Tool and name in ("plain", "later", "items"):
        method = functools.partial(method, Tool())
    assert run(method(7)) == ([7] if name == "items" else 7)
    (span,) = one_trace().data.spans
    assert (span.name, span.inputs) == (name, {"x": 7})


def test_stacked_decorators_give_a_span_each(one_trace):
    twice = spanlog.trace(name="outer")(spanlog.trace(name="inner")(add_later))
    assert inspect.iscoroutinefunction(twice)
    assert run(twice(1)) == 3
    outer, inner = one_trace().data.spans
    assert (outer.name, inner.name, inner.parent_id) == ("outer", "inner", outer.span_id)


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (statistics.mean, ([1, 2],), "mean"),
        (functools.partial(add, 1), (5,), "add"),
        (functools.partial(add_later, b=1), (5,), "add_later"),
        (len, ("abc",), "len"),
        (math.hypot, (3, 4), "hypot"),
        (max, (1, 2), "max"),
        ("abc".upper, (), "upper"),
        (Adder(1), (2,), "Adder"),
        (AsyncAdder(1), (2,), "AsyncAdder"),
        (Adder(1).__call__, (3,), "__call__"),
        (functools.lru_cache(math.sqrt), (4,), "sqrt"),
        (lambda x: x, (1,), "<lambda>"),
        (int, ("7",), "int"),
    ],
)
def test_outside_callables_are_wrapped(function, args, name, one_trace):
    expected = run(function(*args))
    assert run(spanlog.trace(function)(*args)) == expected
    (span,) = one_trace().data.spans
    assert (span.name, span.outputs) == (name, expected)


def test_a_wrapped_bound_coroutine_method_records_its_arguments(one_trace):
    method = types.MethodType(add_later, 1)  # binds the first parameter, whatever its name
    assert run(spanlog.trace(method)(5)) == 6
    assert one_trace().data.spans[0].inputs == {"b": 5}


def test_a_wrapped_callable_keeps_its_attributes_and_is_pickled():
    traced = spanlog.trace(Adder(1))
    assert (traced.by, isinstance(traced, Adder)) == (1, True)
    assert pickle.loads(pickle.dumps(traced))(1) == 2
    assert spanlog.trace(functools.lru_cache(add)).cache_info().hits == 0
    holder = type("Holder", (), {"size": spanlog.trace(len), "later": spanlog.trace(add_later)})
    assert holder().size("ab") == 2  # a builtin in a class is no method, traced or not
    assert isinstance(holder().later, types.MethodType)


def test_what_is_no_function_cannot_be_traced():
    with pytest.raises(TypeError, match="a name is given"):
        spanlog.trace("a name")


@pytest.mark.parametrize("decorator", [functools.wraps(add_later), functools.wraps(count)])
def test_a_plain_function_that_wraps_one_of_another_kind_is_recorded(decorator, one_trace):
    assert spanlog.trace(decorator(lambda *args: 42))(1) == 42
    assert one_trace().data.spans[0].outputs == 42


WRONG = [((), {}), ((1, 2, 3, 4), {"a": 1}), ((1,), {"zzz": 2}), ((1,), {"self": 1})]


@pytest.mark.parametrize("function", [add, add_later, count, count_later])
@pytest.mark.parametrize(("args", "kwargs"), WRONG)
def test_a_wrong_call_raises_the_same_error_at_the_call(function, args, kwargs):
    def outcome(called):
        try:
            result = called(*args, **kwargs)
        except TypeError as error:
            return str(error)
        run(result)
        return None

    assert outcome(spanlog.trace(function)) == outcome(function)


def test_a_method_called_without_an_object_raises_the_same_error():
    with pytest.raises(TypeError, match=r"Tool.later\(\) missing 2 required positional arguments"):
        Tool.later()


CALLS = [
    ((1,), {}, {"a": 1, "b": 2, "c": 3}),
    ((1, 5, 6, 7), {"c": 8}, {"a": 1, "b": 5, "rest": [6, 7], "c": 8}),
    ((1,), {"x": 2, "more": 3}, {"a": 1, "b": 2, "c": 3, "more": {"x": 2, "more": 3}}),
]


@pytest.mark.parametrize(("args", "kwargs", "inputs"), CALLS)
def test_inputs_are_named_and_defaults_applied(args, kwargs, inputs, one_trace):
    traced_add(*args, **kwargs)
    assert one_trace().data.spans[0].inputs == inputs


def test_a_keyword_may_be_named_like_a_positional_only_parameter(one_trace):
    assert spanlog.trace(lambda a, /, **more: a)(1, a=2) == 1
    assert one_trace().data.spans[0].inputs == {"a": 1, "more": {"a": 2}}


def test_inputs_are_as_they_were_at_the_call(traces):
    @spanlog.trace
    def now(x):
        x.append("in the body")

    @spanlog.trace
    async def later(x):
        return x

    @spanlog.trace
    def items(x):
        yield x

    shared = []
    now(shared)
    pending = [later(shared), items(shared)]
    shared.append("before it is awaited or iterated")
    for work in pending:
        assert run(work) in (shared, [shared])
    first = ["in the body"]
    assert [t.data.spans[0].inputs for t in traces()] == [{"x": []}, {"x": first}, {"x": first}]


def test_attributes_are_recorded_with_each_call(one_trace):
    spanlog.trace(add, attributes={"team": "a", 5: float("nan")})(1)
    assert one_trace().data.spans[0].attributes == {"team": "a", "5": None}


@pytest.mark.parametrize("function", [add_later, count, count_later])
def test_what_is_never_started_records_nothing_and_warns_as_before(function, traces):
    def warned(called, close):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pending = called(1)
            if close and hasattr(pending, "close"):
                pending.close()
            del pending
            gc.collect()
        return [str(w.message) for w in caught if w.category is RuntimeWarning]

    for close in (True, False):
        assert warned(spanlog.trace(function), close) == warned(function, close)
    assert traces() == []


@pytest.mark.parametrize("function", [add_later, count, count_later])
def test_a_function_that_returns_pending_work_is_open_until_that_has_run(function, one_trace):
    traced = spanlog.trace(lambda n: function(n))
    pending = traced(3)
    assert one_trace().data.spans[0].end_time_ns is None
    result = run(pending)
    (span,) = one_trace().data.spans
    assert (span.outputs, span.end_time_ns is None) == (result, False)


@pytest.mark.parametrize("function", [add_later, count])
def test_a_function_whose_pending_work_is_dropped_ends(function, one_trace):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spanlog.trace(lambda: function(1))()
        gc.collect()
    assert one_trace().data.spans[0].end_time_ns is not None


def test_a_generator_under_way_is_handed_through_as_it_is(one_trace):
    items = count(3)
    next(items)
    assert spanlog.trace(lambda: items)() is items
    assert list(items) == [1, 2]
    assert one_trace().data.spans[0].end_time_ns is not None


def test_a_generator_based_coroutine_stays_awaitable(one_trace):
    @spanlog.trace
    @types.coroutine
    def pause(x):
        yield
        return x

    async def main():
        return await pause(4)

    assert asyncio.run(main()) == 4
    assert one_trace().data.spans[0].end_time_ns is not None


@pytest.mark.parametrize("function", [count, count_later])
def test_a_reducer_makes_the_outputs(function, one_trace):
    assert run(spanlog.trace(function, output_reducer=sum)(4)) == [0, 1, 2, 3]
    assert one_trace().data.spans[0].outputs == 6


def test_a_failing_reducer_leaves_the_list(monkeypatch, one_trace):
    monkeypatch.setattr(safety, "strict", False)
    assert list(spanlog.trace(count, output_reducer=lambda got: 1 / 0)(3)) == [0, 1, 2]
    assert one_trace().data.spans[0].outputs == [0, 1, 2]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_with_tracing_disabled_nothing_is_recorded_and_results_are_the_same(function, traces):
    expected = run(function(4))
    spanlog.tracing.disable()
    assert run(spanlog.trace(function)(4)) == expected
    spanlog.tracing.enable()
    with spanlog.tracing.context(enabled=False):
        assert run(spanlog.trace(function)(4)) == expected
    assert traces() == []
