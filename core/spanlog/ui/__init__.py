"""`spanlog ui`: the traces of a store in the browser, served on this machine for this machine."""
