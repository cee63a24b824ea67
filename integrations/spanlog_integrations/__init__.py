"""One module a library, each named like the library it traces; `spanlog.<library>` is the module."""
