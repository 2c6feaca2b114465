"""LPDDR5X by its bursts: what a channel and its controller sustain, derived from JEDEC timing, mapping and policy.

`rates.sustained(memory, kind)` is the one call that a tile level needs; `tables` explains it. Nothing is imported here:
the spec is read at every start, numpy only when a rate is derived.
"""
