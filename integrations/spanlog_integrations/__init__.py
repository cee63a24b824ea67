"""One module a library, each named like it; `spanlog.<library>` is the module."""

# Of each integration, the library's modules: the first that is imported has it loaded. The entry
# points in pyproject.toml say the same of an installed package.
LIBRARIES = {
    "anthropic": ("anthropic",),
    "bedrock": ("botocore",),
    "dspy": ("dspy",),
    "gemini": ("google.genai",),
    "groq": ("groq",),
    "langchain": ("langchain_core",),
    "litellm": ("litellm",),
    "llama_index": ("llama_index.core",),
    "mistral": ("mistralai", "mistralai_azure", "mistralai_gcp"),
    "openai": ("openai",),
    "threads": ("threading",),
}
