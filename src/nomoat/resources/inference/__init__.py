"""Inference: answers of models behind upstreams, each for a permit."""

from nomoat.resources.inference.answers import Answer
from nomoat.resources.inference.inference import Inference

__all__ = ["Answer", "Inference"]
