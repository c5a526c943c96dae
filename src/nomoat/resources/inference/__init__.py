"""Inference: answers of models behind upstreams, each for a permit."""

from nomoat.resources.inference.inference import Answer, Inference

__all__ = ["Answer", "Inference"]
