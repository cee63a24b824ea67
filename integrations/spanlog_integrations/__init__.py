"""One module a library, each named like it; `spanlog.<library>` is the module."""

import spanlog.runtime  # so that what they record is kept, however they are imported

assert spanlog.runtime
