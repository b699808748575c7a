"""The rules of the registry: plain values in, plain values out; no I/O, no clock, no framework."""
