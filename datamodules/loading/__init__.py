"""Batches: order, sharding, resident on the device or streamed."""
