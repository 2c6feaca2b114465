"""Are 25 people who chat with a model on one DGX Spark served well, and what if there were a hundred?"""

import sim

for users in (25, 100):
    result = sim.serve("office-25", seeds=[1], set={"traffic.arrivals.users": users})
    found = result.summary()
    print(f"{users} users: {found['request_rate']:.2f} requests/s, at most {found['peak_running']} answered at once")
    for name, verdict in result.verdicts().items():
        word = "held" if verdict["is_held"] else "not held"
        print(f"  {name}: {verdict['value_s']:.3f} s of {verdict['limit_s']:.1f} s, {word}")
