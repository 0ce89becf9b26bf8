"""How much of the rate of an empty call is left for real ones: penchant's server beside a bare one, in one run.

    python -m benchmarks.serving [--folder var/serving] [--items 70000] [--callers 16] [--rounds 5] [--seconds 5]

world.py     a made-up shop of that size with a trained model, kept in the folder
bare.py      a server with one empty rpc, three ways: threads, asyncio, asyncio over uvloop
closed.py    a closed loop: so many callers, each asks again as soon as it has its answer
questions.py what is asked of penchant's server
open.py      an open loop: calls that come when they come
endurance.py minutes at 70 % of the capacity, and what happens at 200 % (a command of its own)
memory.py    what workers take that share a model (a command of its own)
scale.py     a million items beside 70,000 (a command of its own)
export.py    an export of all vectors beside a bare stream (a command of its own)
"""
