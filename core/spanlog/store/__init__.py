"""Where traces are kept: a SQL database."""

from spanlog.store.errors import NotFoundError as NotFoundError
from spanlog.store.errors import StoreError as StoreError
