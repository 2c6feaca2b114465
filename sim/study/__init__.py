"""Questions that take many predictions: why, what differs, what fits, how much load."""
