"""The filter language of searches: text, a tree of comparisons, SQL with bound parameters."""

from spanlog.store.filters.errors import FilterError as FilterError
from spanlog.store.filters.filter import Filter as Filter
from spanlog.store.filters.filter import parse_filter as parse_filter
from spanlog.store.filters.filter import where as where
from spanlog.store.filters.order import Order as Order
from spanlog.store.filters.order import latest_first as latest_first
from spanlog.store.filters.order import parse_order as parse_order
