"""The names of attributes and of metadata, each once.

`gen_ai.*`, `openai.*`, `exception.*`, `server.*`, `http.*`, `error.type`: the semantic conventions
of OpenTelemetry. `mlflow.*`: MLflow's, where programs that come from it write or read them.
`spanlog.*`, `error.body` and the counts that OpenTelemetry does not name: ours.
"""

from __future__ import annotations

# What a reply says of an error.
ERROR_BODY = "error.body"
ERROR_TYPE = "error.type"

# Of the event of an error.
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
EXCEPTION_TYPE = "exception.type"

# What is asked of a model, an agent or a tool, and what comes back.
AGENT_ID = "gen_ai.agent.id"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
EMBEDDINGS_DIMENSION_COUNT = "gen_ai.embeddings.dimension.count"
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
REQUEST_PREVIOUS_RESPONSE_ID = "gen_ai.request.previous_response.id"
REQUEST_REASONING_LEVEL = "gen_ai.request.reasoning.level"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_K = "gen_ai.request.top_k"
REQUEST_TOP_P = "gen_ai.request.top_p"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_STATUS = "gen_ai.response.status"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_NAME = "gen_ai.tool.name"
USAGE_AUDIO_INPUT_TOKENS = "gen_ai.usage.audio.input_tokens"
USAGE_AUDIO_OUTPUT_TOKENS = "gen_ai.usage.audio.output_tokens"
USAGE_CACHE_CREATION_INPUT_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_IMAGE_INPUT_TOKENS = "gen_ai.usage.image.input_tokens"
USAGE_IMAGE_OUTPUT_TOKENS = "gen_ai.usage.image.output_tokens"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_REASONING_OUTPUT_TOKENS = "gen_ai.usage.reasoning.output_tokens"
USAGE_TEXT_INPUT_TOKENS = "gen_ai.usage.text.input_tokens"
USAGE_TEXT_OUTPUT_TOKENS = "gen_ai.usage.text.output_tokens"
USAGE_TOTAL_TOKENS = "gen_ai.usage.total_tokens"

# Of the request and the reply.
HTTP_REQUEST_RESEND_COUNT = "http.request.resend_count"
HTTP_RESPONSE_REQUEST_ID = "http.response.request_id"
HTTP_RESPONSE_START = "http.response.start"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"

# By MLflow's keys: the conversation and the user of a trace; token counts of a span.
MLFLOW_USAGE = "mlflow.chat.tokenUsage"
SESSION = "mlflow.trace.session"
USER = "mlflow.trace.user"

# What only OpenAI's API has.
OPENAI_REQUEST_SERVICE_TIER = "openai.request.service_tier"
OPENAI_RESPONSE_SERVICE_TIER = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT = "openai.response.system_fingerprint"
OPENAI_USAGE_ACCEPTED_PREDICTION_TOKENS = "openai.usage.accepted_prediction_tokens"
OPENAI_USAGE_REJECTED_PREDICTION_TOKENS = "openai.usage.rejected_prediction_tokens"
OPENAI_USAGE_SECONDS = "openai.usage.seconds"

# Who answers.
SERVER_ADDRESS = "server.address"

# Ours: of streams, of what is left out, of what is shown.
CONTENT_DROPPED = "spanlog.content_dropped"
DROPPED_SPANS = "spanlog.dropped_spans"
ITEMS_LEFT_OUT = "spanlog.items_left_out"
NOTE = "spanlog.note"
STREAM_CHUNKS = "spanlog.stream.chunks"
STREAM_COMPLETED = "spanlog.stream.completed"
