"""The names of attributes and of metadata, each once.

`gen_ai.*`, `exception.*`, `server.*`, `error.type`: the OpenTelemetry semantic conventions.
`mlflow.*`: MLflow's, where programs that come from it write or read them.
`spanlog.*`: ours, where there is no name yet.
"""

from __future__ import annotations

# Metadata of a trace, by MLflow's keys: the conversation that it belongs to, and who asked.
SESSION = "mlflow.trace.session"
USER = "mlflow.trace.user"
