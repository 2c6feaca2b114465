"""Attention that reads few of its keys: the indexer that chooses them, and attention over compressed keys."""

from __future__ import annotations

from dataclasses import dataclass

from sim.workload.sizes import Sizes


@dataclass(frozen=True, slots=True)
class IndexerSpec:
    """Small heads that score all keys, of which attention reads the `top_k` best (DeepSeek-V3.2, arXiv 2512.02556).

    `q_input`: width that its queries are made from, the latent of the queries or the residual stream. `stride`: tokens
    that one of its keys stands for (DeepSeek V4). `block`: keys that are chosen together (MiniMax M3; 1 = each alone).
    `has_weights`: heads are summed with weights of the token; without, each chooses for its own group. `norms`:
    elements of the norms of its queries and keys. `shares`: it takes the choice of an earlier layer (GLM-5.2).
    """

    heads: int
    dim: int
    top_k: int
    q_input: int
    stride: int = 1
    block: int = 1
    has_weights: bool = True
    norms: int = 0
    shares: bool = False

    @property
    def q_width(self) -> int:
        """Elements of a token's queries."""
        return self.heads * self.dim

    @property
    def k_columns(self) -> int:
        """Columns that make a key: compressed keys overlap, so that a token adds to two, each with a gate."""
        return self.dim if self.stride == 1 else 4 * self.dim

    def chosen(self, keys: int) -> int:
        """Keys that attention reads where `keys` are there."""
        return min(self.top_k, keys)

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class; none where the choice is another layer's."""
        if self.shares:
            return []
        positions = 0 if self.stride == 1 else self.stride * 2 * self.dim
        return [
            ("attn_index_q", self.q_width * self.q_input),
            ("attn_index", self.k_columns * hidden + (self.heads * hidden if self.has_weights else 0)),
            ("norm", self.norms),
            ("bias", positions),
        ]

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        return {"attn_index_q": self.q_input}

    def kv_elements(self, context: int) -> int:
        """Cached elements of one sequence, in the format of the cache (DeepSeek keeps them in FP8)."""
        return 0 if self.shares else self.dim * (context // self.stride)


@dataclass(frozen=True, slots=True)
class CompressedSpec:
    """Attention of DeepSeek V4 (arXiv 2606.19348): one shared head of keys that are the values too.

    A query sees the last `window` tokens, and of those before one entry for every `ratio` (0: none): all of them, or
    the `index`'s choice. Queries come from a latent of `q_rank`; the output goes through `groups` of heads, each
    to `o_rank`, and then back to the residual stream.
    """

    heads: int
    head_dim: int
    q_rank: int
    rope_dim: int
    window: int
    ratio: int
    groups: int
    o_rank: int
    index: IndexerSpec | None = None

    @property
    def q_width(self) -> int:
        """Elements of a token's queries."""
        return self.heads * self.head_dim

    @property
    def out_width(self) -> int:
        """Elements of a token that the last projection reads."""
        return self.groups * self.o_rank

    @property
    def pooled_columns(self) -> int:
        """Columns of what is pooled into entries and its gate; overlapping entries (with an index) take twice."""
        return (0 if not self.ratio else 4 if self.index else 2) * self.head_dim

    def entries(self, context: int) -> int:
        """Compressed entries of `context` tokens that a query reads."""
        found = context // self.ratio if self.ratio else 0
        return self.index.chosen(found) if self.index else found

    def keys(self, context: int) -> int:
        """Keys that the last of `context` tokens reads."""
        return min(self.window, context) + self.entries(context)

    def sizes(self, hidden: int) -> Sizes:
        """Weights by tensor class."""
        found = [
            ("attn_q_a", self.q_rank * hidden),
            ("attn_q_b", self.q_width * self.q_rank),
            ("attn_kv_a", self.head_dim * hidden),
            ("attn_o_a", self.out_width * (self.q_width // self.groups)),
            ("attn_o", self.out_width * hidden),
            ("attn_compress", self.pooled_columns * hidden),
            ("norm", self.q_rank + self.head_dim + (self.head_dim if self.ratio else 0)),
            ("bias", self.heads + self.ratio * self.pooled_columns // 2),
        ]
        return found + (self.index.sizes(hidden) if self.index else [])

    def depths(self) -> dict[str, int]:
        """Length of the rows of matrices that do not read the residual stream."""
        own = {"attn_q_b": self.q_rank, "attn_o_a": self.q_width // self.groups, "attn_o": self.out_width}
        return own | (self.index.depths() if self.index else {})

    def kv_elements(self, context: int, window_extra: int) -> int:
        """The window, the entries of all tokens, and the index's keys."""
        entries = context // self.ratio if self.ratio else 0
        kept = min(context, self.window + window_extra) + entries
        return self.head_dim * kept + (self.index.kv_elements(context) if self.index else 0)

    def state_bytes(self) -> int:
        """None: what waits to be pooled is a window's worth of tokens, in the cache's first block."""
        return 0
