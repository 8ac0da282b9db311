"""Recorded events, the Lambda emulator and local API servers, for tests and benchmarks."""
