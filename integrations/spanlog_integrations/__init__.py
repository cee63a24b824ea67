"""One module a library, each named like it; `spanlog.<library>` is the module."""
