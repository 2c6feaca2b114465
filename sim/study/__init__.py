"""Studies over many predictions: validation against measurements."""
