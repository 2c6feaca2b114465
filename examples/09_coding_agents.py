"""What does the prefix cache give twelve coding agents, whose context grows with every round?"""

import sim

ttft = {}
for is_caching in (True, False):
    changes = {"runtime.prefix_caching": is_caching, "until.requests": 60, "until.after_warm_up": 12}
    found = sim.serve("coding-agents-12", seeds=[1], set=changes).summary()
    ttft[is_caching] = found["ttft_s"]["p95"]
    share = found["cached_tokens"] / found["prompt_tokens"]
    print(
        f"prefix cache {'on' if is_caching else 'off'}: {share:.0%} of the prompts were there already; "
        f"first token p95 {ttft[is_caching]:.1f} s, {found['request_rate']:.2f} rounds/s"
    )
