"""Requests, schedulers and the pool of KV blocks: a server over a table of step times."""
