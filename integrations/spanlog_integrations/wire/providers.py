"""The names of providers, which are OpenTelemetry's where it has one: by host, by other names."""

from __future__ import annotations

from functools import lru_cache

# Which provider answers at a host that an SDK of another is often pointed to, by the host's end.
_BY_HOST = {
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "openrouter.ai": "openrouter",
}
# What LiteLLM, LangChain and LlamaIndex call providers, where OpenTelemetry has another name.
_BY_NAME = {
    "amazon_bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "azure_text": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "bedrock_mantle": "aws.bedrock",
    "cohere_chat": "cohere",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "huggingface_api": "hugging_face",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "openai_like": "openai",
    "sagemaker": "aws.sagemaker",
    "sagemaker_chat": "aws.sagemaker",
    "sagemaker_endpoint": "aws.sagemaker",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "watsonx_text": "ibm.watsonx.ai",
    "xai": "x_ai",
}


@lru_cache(512)  # hosts: a program knows few
def provider_at(host: str) -> str | None:
    """Return the provider that is known to answer at a host."""
    return next((name for end, name in _BY_HOST.items() if host.endswith(end)), None)


def provider_name(name: str) -> str:
    """Return OpenTelemetry's name of a provider, given that of LiteLLM, LangChain or LlamaIndex.

    What LiteLLM adds after a dash ("vertex_ai-anthropic_models") says which models are meant.
    """
    return _BY_NAME.get(name) or _BY_NAME.get(name.partition("-")[0]) or name
