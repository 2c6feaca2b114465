"""Op and kernel choice to a kernel: FLOPs, bytes, CTA programs. Pure functions, no time."""
