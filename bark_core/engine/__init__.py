"""How models run: the one autoregressive loop, sampling, and on which device, in which precision and by which code. Knows no stages."""

__all__ = ["loop", "memory", "modes", "placement", "runtime", "sampling", "survey", "traces"]
