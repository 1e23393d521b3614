"""Random tensors. What is drawn is drawn where its generator is: on a GPU nothing waits for numbers from the processor."""

from __future__ import annotations

import torch


def uniform(shape, generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def normal(shape, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def integers(high: int, shape, generator: torch.Generator) -> torch.Tensor:
    """From 0 to high - 1."""
    return torch.randint(0, high, shape, generator=generator, device=generator.device)
