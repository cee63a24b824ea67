"""The shapes that requests, replies and streams have on the wire, which several providers speak."""
