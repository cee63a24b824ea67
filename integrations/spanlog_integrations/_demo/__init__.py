"""`spanlog demo`: a weather agent, traced while it works, with a stand-in for the model."""
