"""What a model call costs in US dollars, by the prices in the `genai-prices` package.

They come with the package (the extra `prices`); nothing is fetched. What is not known is None.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# OpenTelemetry's names of providers -> those of genai-prices, where they differ.
_PROVIDERS = {
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "mistral_ai": "mistral",
    "x_ai": "x-ai",
}


def cost(
    model: str | None, provider: str | None, usage: Mapping[str, int]
) -> dict[str, float] | None:
    """Return the `input_cost`, `output_cost` and `total_cost` of a call.

    Args:
        model: The model that answered.
        provider: Who runs it, by OpenTelemetry's name; told by the model where it is not known.
        usage: The token counts by the names of `spanlog.model.usage`.

    Returns:
        None where the model or its price is not known, or `genai-prices` is not installed.
    """
    prices = _package()
    if prices is None or not isinstance(model, str):
        return None
    try:
        price = prices.calc_price(
            prices.Usage(
                input_tokens=usage.get("input_tokens"),
                output_tokens=usage.get("output_tokens"),
                cache_read_tokens=usage.get("cache_read_input_tokens"),
                cache_write_tokens=usage.get("cache_creation_input_tokens"),
            ),
            model_ref=model,
            provider_id=_PROVIDERS.get(provider, provider) if provider else None,
        )
    except (LookupError, ValueError):  # an unknown model, counts that contradict each other
        return None
    return {
        "input_cost": float(price.input_price),
        "output_cost": float(price.output_price),
        "total_cost": float(price.total_price),
    }


def prepare() -> None:
    """Import the package if it is installed, and what it imports itself when it is first asked."""
    cost("gpt-4o", "openai", {"input_tokens": 1})


@cache
def _package() -> Any:
    try:
        import genai_prices
    except ImportError:
        return None
    return genai_prices
