"""Metrics: aggregates of a dataset that are told with noise, until its privacy budget is spent."""
