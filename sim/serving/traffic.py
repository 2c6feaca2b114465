"""What a scenario says of the requests that come: when, how long, what they share, and when it is over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema, model_validator

from sim.errors import InputError
from sim.serving.lengths import AnyLength, Part, Positive, Tokens
from sim.units import parse_quantity


def _quantity(unit: str) -> BeforeValidator:
    def read(value: Any) -> float:
        try:
            return parse_quantity(value, unit)
        except InputError as error:
            raise ValueError(error.problems[0].message) from None

    return BeforeValidator(read)


def _as_text(unit: str) -> PlainSerializer:
    """Written as it is read: a number with its unit."""
    return PlainSerializer(lambda value: None if value is None else f"{value!r} {unit}", when_used="json")


_TEXT = WithJsonSchema({"type": "string"})
Rate = Annotated[float, Field(gt=0, le=1e6), _quantity("/s"), _as_text("/s"), _TEXT]
Time = Annotated[float, Field(ge=0, le=1e8), _quantity("s"), _as_text("s"), _TEXT]
Span = Annotated[float, Field(gt=0, le=1e8), _quantity("s"), _as_text("s"), _TEXT]
Dollars = Annotated[float, Field(gt=0, le=1e9), _quantity("USD"), _as_text("USD"), _TEXT]
Number = Annotated[int, Strict(), Field(ge=1, le=10**9)]


class _Open(Part):
    """Requests that come whatever the server does, but for a limit of the client's own."""

    max_concurrency: Number | None = Field(
        None, description="the client holds requests back while so many are unanswered; their times begin when they go"
    )


class Poisson(_Open):
    """Requests come independently of each other."""

    kind: Literal["poisson"]
    rate: Rate = Field(description="requests per second, e.g. 0.3 /s")


class Gamma(_Open):
    """Gaps are gamma distributed: burstiness 1 is Poisson, less is burstier (as `vllm bench serve --burstiness`)."""

    kind: Literal["gamma"]
    rate: Rate = Field(description="requests per second")
    burstiness: Positive = Field(1.0, description="shape of the gamma distribution")
    exact_rate: Annotated[bool, Strict()] = Field(
        False,
        description="scale the gaps so that the last request comes at requests / rate, as `vllm bench serve` does",
    )


class Constant(_Open):
    """Equal gaps."""

    kind: Literal["constant"]
    rate: Rate = Field(description="requests per second")


class Burst(Part):
    """Many at once."""

    kind: Literal["burst"]
    size: Number | None = Field(None, description="requests that come at once; all of them if not given")
    every: Time = Field(0.0, description="time between two bursts")


class ClosedLoop(Part):
    """Users who wait for their answer, think, and ask again."""

    kind: Literal["closed_loop"]
    users: Annotated[int, Strict()] = Field(ge=1, le=65536)
    think_time: Time = Field(0.0, description="from an answer to the next question, exponential with this mean")


class Trace(Part):
    """Requests as a file lists them."""

    kind: Literal["trace"]
    file: str = Field(description="./FILE; .gz is read too")
    format: Literal["azure", "mooncake", "burstgpt", "aiperf", "sharegpt", "vllm_bench", "auto"] = "auto"
    rate: Rate | None = Field(None, description="of a trace without times (sharegpt): Poisson arrivals at this rate")
    speed: Positive = Field(1.0, description="2 lets the requests come twice as fast")
    skip_bad_lines: Annotated[bool, Strict()] = Field(False, description="leave them out and count them")


Arrivals = Annotated[Poisson | Gamma | Constant | Burst | ClosedLoop | Trace, Field(discriminator="kind")]


class SharedPrefix(Part):
    """Text in front of every prompt, the same for a group of requests (a system prompt)."""

    tokens: Tokens
    groups: Number = Field(1, description="different prefixes; each request has one of them by chance")


class Chat(Part):
    """Each arrival is a conversation: a turn's prompt is all that was said before, and a new prompt."""

    turns: AnyLength
    think_time: Time = Field(0.0, description="from an answer to the next turn, exponential with this mean")


class Agents(Part):
    """Each arrival is a task: rounds of answers that call tools, whose output is added to the context."""

    rounds: AnyLength
    tool_output: AnyLength = Field(description="tokens that a tool adds")
    pause: Time = Field(0.0, description="how long a tool runs, exponential with this mean")


class Timeout(Part):
    """How long clients wait before they give up; the server then stops working on what they asked."""

    ttft: Span | None = Field(None, description="for the first token")
    e2e: Span | None = Field(None, description="for the last token")


class Cancels(Part):
    """Users who have read enough and stop an answer."""

    share: Annotated[float, Strict(), Field(gt=0, le=1)] = Field(description="of all requests, by chance")
    after: Span = Field(description="from the request to the stop, exponential with this mean")


class Priority(Part):
    """Requests of one priority. Lower numbers go first, where the server looks at them."""

    priority: Annotated[int, Strict(), Field(ge=-(10**6), le=10**6)]
    share: Positive = Field(description="of all requests; shares are taken relative to their sum")


class Until(Part):
    """When it is over. Requests that came are all served to their end."""

    requests: Number | None = Field(None, description="requests that are counted")
    after_warm_up: Annotated[int, Strict()] = Field(0, ge=0, le=10**9, description="requests before those, not counted")
    duration: Span | None = Field(None, description="no request comes after this time")


class Slo(Part):
    """What a request must keep to count as good (goodput), and percentiles that the whole run must keep."""

    ttft: Time | None = Field(None, description="each request's time to first token")
    tpot: Time | None = Field(None, description="each request's time per output token")
    e2e: Time | None = Field(None, description="each request's time to its last token")
    ttft_p50: Time | None = None
    ttft_p90: Time | None = None
    ttft_p95: Time | None = None
    ttft_p99: Time | None = None
    tpot_p50: Time | None = None
    tpot_p90: Time | None = None
    tpot_p95: Time | None = None
    tpot_p99: Time | None = None
    itl_p50: Time | None = None
    itl_p90: Time | None = None
    itl_p95: Time | None = None
    itl_p99: Time | None = None
    e2e_p50: Time | None = None
    e2e_p90: Time | None = None
    e2e_p95: Time | None = None
    e2e_p99: Time | None = None

    def per_request(self) -> dict[str, float]:
        """The limits that each request is held to: those given for one, else those given for a percentile."""
        found = {}
        for name in ("ttft", "tpot", "e2e"):
            limits = [getattr(self, name), *(getattr(self, f"{name}_p{p}") for p in (99, 95, 90, 50))]
            limit = next((limit for limit in limits if limit is not None), None)
            if limit is not None:
                found[name] = limit
        return found


class Traffic(Part):
    """The requests."""

    arrivals: Arrivals
    prompt: AnyLength | None = Field(None, description="tokens of a prompt; with a trace: as that says")
    output: AnyLength | None = Field(None, description="tokens to generate; with a trace: as that says")
    cancels: Cancels | None = Field(None, description="users who stop an answer")
    priorities: tuple[Priority, ...] = Field(
        (), max_length=100, description="of each request by chance; for a server with scheduling_policy: priority"
    )
    timeout: Timeout = Field(Timeout(), description="clients that give up")
    shared_prefix: SharedPrefix | None = None
    chat: Chat | None = None
    agents: Agents | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Traffic:
        is_trace = self.arrivals.kind == "trace"
        missing = [name for name in ("prompt", "output") if getattr(self, name) is None]
        if not is_trace and missing:
            raise ValueError(f"{' and '.join(missing)} missing: how long they are is not known without a trace")
        if is_trace and len(missing) < 2:
            raise ValueError("a trace says how long prompts and outputs are; leave prompt and output out")
        if self.chat is not None and self.agents is not None:
            raise ValueError("chat and agents exclude each other")
        if is_trace and (self.chat or self.agents or self.shared_prefix):
            raise ValueError("a trace says what requests share; leave chat, agents and shared_prefix out")
        return self
