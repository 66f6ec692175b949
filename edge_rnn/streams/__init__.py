"""Streams: a model's plan and memory, and its steps for one stream, a window or many streams."""
