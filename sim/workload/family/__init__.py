"""From a configuration's keys to layers: what all families share in `transformer`, a file for each that differs."""
