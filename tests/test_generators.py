"""Traced generators: the program cannot tell them from the untraced, and each is one span."""

import asyncio
import functools
import gc
import inspect

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st

ERRORS = [ValueError, KeyError, StopIteration, StopAsyncIteration, GeneratorExit, RuntimeError]

# What a generator does with each thing it is given: go on, or one of the ways to end.
answers = st.lists(
    st.sampled_from(["go on", "swallow", "return", "raise other", "raise stop"]), max_size=6
)
# What the consumer does with it.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("next")),
        st.tuples(st.just("send"), st.none() | st.integers()),
        st.tuples(st.just("throw"), st.sampled_from(ERRORS)),
        st.tuples(st.just("close")),
    ),
    max_size=8,
)


def react(answer, error):
    """Do what the script says after an error was thrown in; return True to end."""
    if error is not None and answer == "go on":
        raise error
    if answer == "raise other":
        raise LookupError("other")
    if answer == "raise stop":
        raise StopIteration("stop")
    return answer == "return"


def scripted(script, log):
    for number, answer in enumerate(script):
        error = None
        try:
            log.append((yield number))
        except BaseException as thrown:
            log.append(repr(thrown))
            error = thrown
        if react(answer, error):
            return "returned"
    return "done"


def delegating(script, log):
    log.append((yield from scripted(script, log)))
    yield "after"


async def scripted_later(script, log):
    for number, answer in enumerate(script):
        error = None
        try:
            await asyncio.sleep(0)
            log.append((yield number))
        except BaseException as thrown:
            log.append(repr(thrown))
            error = thrown
        if react(answer, error):
            return


def finish(awaitable):
    """Run an awaitable that waits for nothing but `sleep(0)`."""
    steps_ = awaitable.__await__()
    while True:
        try:
            next(steps_)
        except StopIteration as stop:
            return stop.value


def drive(function, script, steps):
    """Take a scripted generator through the steps; return all that can be seen of it."""
    log, seen = [], []
    generator = function(script, log)
    later = inspect.isasyncgen(generator)
    for name, *args in [*steps, *[("close",)] * 9]:
        own = (f"__{'a' * later}next__") if name == "next" else f"{'a' * later}{name}"
        args = [arg("thrown") if isinstance(arg, type) else arg for arg in args]
        try:
            result = getattr(generator, own)(*args)
            seen.append(finish(result) if later else result)
        except BaseException as error:
            seen.append(
                (type(error), str(error), error.args and error is args[0] if args else None)
            )
            seen.append(
                (type(error.__cause__), type(error.__context__), error.__suppress_context__)
            )
    return seen, log


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # by the scripts
@pytest.mark.parametrize("function", [scripted, delegating, scripted_later])
@given(answers, steps)
def test_a_traced_generator_behaves_exactly_like_the_untraced(function, script, steps):
    assert drive(spanlog.trace(function), script, steps) == drive(function, script, steps)


@spanlog.trace
def letters(n=3):
    """Yield letters."""
    yield from "abc"[:n]
    return n


@spanlog.trace
async def letters_later(n=3):
    for letter in "abc"[:n]:
        yield letter


def exhaust(generator):
    assert list(generator) == ["a", "b", "c"]


def close(generator):
    next(generator)
    generator.close()


def break_out(generator):
    for _ in generator:
        break
    del generator
    gc.collect()


def fail(generator):
    next(generator)
    with pytest.raises(ValueError, match="mine"):
        generator.throw(ValueError("mine"))


@pytest.mark.parametrize(
    ("use", "outputs", "status", "attributes"),
    [
        (exhaust, ["a", "b", "c"], "OK", {}),
        (close, ["a"], "OK", {"spanlog.stream.completed": False}),
        (break_out, ["a"], "OK", {"spanlog.stream.completed": False}),
        (fail, ["a"], "ERROR", {}),
    ],
)
def test_a_generators_span_ends_with_it_and_keeps_what_it_yielded(
    use, outputs, status, attributes, one_trace
):
    use(letters())
    (span,) = one_trace().data.spans
    assert (span.outputs, span.status.status_code) == (outputs, status)
    assert (span.attributes, span.end_time_ns is None) == (attributes, False)


@pytest.mark.parametrize(
    ("taken", "outputs", "status"),
    [(9, ["a", "b", "c"], "OK"), (1, ["a"], "OK"), (-1, ["a"], "ERROR")],
)
async def test_an_async_generators_span_ends_with_it(taken, outputs, status, one_trace):
    generator = letters_later()
    if taken < 0:
        await anext(generator)
        with pytest.raises(ValueError, match="mine"):
            await generator.athrow(ValueError("mine"))
    else:
        async for _ in generator:
            if taken == 1:
                break
        await generator.aclose()
    (span,) = one_trace().data.spans
    assert (span.outputs, span.status.status_code) == (outputs, status)
    assert span.end_time_ns is not None


def test_an_abandoned_async_generator_is_closed_once_when_the_loop_ends(one_trace):
    log, problems = [], []

    @spanlog.trace
    async def resource():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, c: problems.append(c))
        kept.append(resource())
        return await anext(kept[0])

    kept = []
    assert asyncio.run(main()) == 1
    assert (log, problems) == (["closed"], [])
    assert one_trace().data.spans[0].outputs == [1]


def test_a_generators_return_value_is_kept():
    def outer():
        result.append((yield from letters(2)))

    result = []
    assert list(outer()) == ["a", "b"]
    assert result == [2]


def test_items_are_recorded_as_they_were_when_they_were_yielded(one_trace):
    @spanlog.trace
    def growing():
        items = []
        for number in range(3):
            items.append(number)
            yield items

    list(growing())
    assert one_trace().data.spans[0].outputs == [[0], [0, 1], [0, 1, 2]]


def children(trace):
    names = {None: "", **{span.span_id: span.name for span in trace.data.spans}}
    return sorted((names[span.parent_id], span.name) for span in trace.data.spans)


@spanlog.trace
def step(name):
    return name


def test_what_the_consumer_does_is_no_child_of_the_generator(one_trace):
    @spanlog.trace
    def produce():
        with spanlog.start_span("work"):
            step("inside")
            yield 1
            step("inside again")
        yield 2

    with spanlog.start_span("root") as root:
        for _ in produce():
            assert spanlog.get_current_active_span() is root
            with spanlog.start_span("consume"):
                pass
    assert children(one_trace()) == [
        ("", "root"),
        ("produce", "work"),
        ("root", "consume"),
        ("root", "consume"),
        ("root", "produce"),
        ("work", "step"),
        ("work", "step"),
    ]


EXPECTED = sorted(
    [("", "root"), *[("root", n) for n in "abc"]]
    + [(n, f"{n}{i}") for n in "abc" for i in range(3)]
    + [(f"{n}{i}", "step") for n in "abc" for i in range(3)]
)


@given(st.permutations(list("abc") * 4))
def test_interleaved_generators_give_the_right_tree(order):
    def produce(name):
        for number in range(3):
            with spanlog.start_span(f"{name}{number}"):
                yield number
                step(name)

    with spanlog.start_span("root") as root:
        running = {name: spanlog.trace(produce, name=name)(name) for name in "abc"}
        for name in order:
            next(running[name], None)
            assert spanlog.get_current_active_span() is root
    assert children(spanlog.get_trace(root.trace_id)) == EXPECTED


@given(st.permutations(list("abc") * 4))
def test_interleaved_async_generators_give_the_right_tree(order):
    async def produce(name):
        for number in range(3):
            with spanlog.start_span(f"{name}{number}"):
                await asyncio.sleep(0)
                yield number
                step(name)

    async def main():
        with spanlog.start_span("root") as root:
            running = {name: spanlog.trace(produce, name=name)(name) for name in "abc"}
            for name in order:
                await anext(running[name], None)
                assert spanlog.get_current_active_span() is root
        return root.trace_id

    assert children(spanlog.get_trace(asyncio.run(main()))) == EXPECTED


async def test_an_async_generator_may_be_consumed_by_several_tasks(one_trace):
    async def take(generator):
        with spanlog.start_span("taker"):
            return await anext(generator)

    with spanlog.start_span("root"):
        generator = letters_later()
        taken = [await asyncio.create_task(take(generator)) for _ in range(3)]
        assert [item async for item in generator] == []
    assert taken == ["a", "b", "c"]
    assert children(one_trace())[1:] == [("root", "taker")] * 3 + [("taker", "letters_later")]


def test_a_partial_of_a_generator_is_a_generator_too(one_trace):
    assert list(spanlog.trace(functools.partial(letters.__wrapped__, 2))()) == ["a", "b"]
    assert one_trace().data.spans[0].outputs == ["a", "b"]
