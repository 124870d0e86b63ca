"""The networks and what they keep: transformers, their cache, 8-bit weights, the codec. Tensors in, tensors out; knows no tokens' meaning."""

__all__ = ["blank", "cache", "codec", "quantize", "transformer"]
