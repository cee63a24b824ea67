"""Token counts: each model call once."""

import pytest
import spanlog
from spanlog.model import usage
from spanlog.model.usage import ATTRIBUTES


def spend(span, **counts):
    span.set_attributes({ATTRIBUTES[name]: count for name, count in counts.items()})


def build(tree):
    """Record `(name, counts, children)` as nested spans."""
    name, counts, children = tree
    with spanlog.start_span(name) as span:
        spend(span, **counts)
        for child in children:
            build(child)


def model(i, o, *children):
    return ("chat", {"input_tokens": i, "output_tokens": o}, children)


def plain(*children):
    return ("step", {}, children)


@pytest.mark.parametrize(
    ("tree", "total"),
    [
        (plain(), None),
        (model(3, 4), (3, 4)),
        (plain(model(3, 4), model(10, 20)), (13, 24)),
        (model(99, 99, model(3, 4)), (3, 4)),
        (model(99, 99, plain(model(3, 4))), (3, 4)),
        (model(99, 99, model(98, 98, model(3, 4))), (3, 4)),
        (model(99, 99, model(3, 4), model(10, 20)), (13, 24)),
        (plain(model(1, 2, plain()), plain(model(99, 99, model(3, 4)))), (4, 6)),
    ],
)
def test_a_model_call_below_a_model_call_is_the_same_call(tree, total, one_trace):
    build(tree)
    found = one_trace().info.token_usage
    expected = total and {
        "input_tokens": total[0],
        "output_tokens": total[1],
        "total_tokens": sum(total),
    }
    assert found == expected


def test_all_counts_add_up(one_trace):
    with spanlog.start_span("root"):
        for _ in range(2):
            build(("chat", {name: n for n, name in enumerate(ATTRIBUTES, 1)}, ()))
    assert one_trace().info.token_usage == {name: 2 * n for n, name in enumerate(ATTRIBUTES, 1)}


def test_mlflows_own_attribute_counts_too(one_trace):
    with spanlog.start_span("chat") as span:
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 1, "output_tokens": 2})
    assert one_trace().data.spans[0].usage == {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
    }


@pytest.mark.parametrize("junk", ["12", None, 1.5, True, [1], {"a": "1"}])
def test_what_is_no_count_is_not_counted(junk, one_trace):
    build(("chat", {"input_tokens": junk, "output_tokens": 2}, ()))
    assert one_trace().info.token_usage == {"output_tokens": 2, "total_tokens": 2}
    assert usage.read({"mlflow.chat.tokenUsage": junk}) is None
