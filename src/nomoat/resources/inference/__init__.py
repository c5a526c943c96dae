"""Inference: answers of models behind upstreams, each for a permit."""

from nomoat.resources.inference.inference import EVENTS, Answer, Inference

__all__ = ["EVENTS", "Answer", "Inference"]
