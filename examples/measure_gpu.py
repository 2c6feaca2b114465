"""How fast is the memory of this GPU really? Measures a CUDA machine as `sparksim microbench` simulates one.

    python measure_gpu.py my-gpu.yaml --hardware dgx-spark
    sparksim microbench --measured my-gpu.yaml          # simulated beside what was measured here

Needs a CUDA GPU, NumPy and CuPy or PyTorch (2.9 or newer); without them it says so and exits with 2. A few minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

PIECE = 512  # bytes that a warp asks for at once: 32 lanes of 16 B
PAGE = 2 << 20
STREAM_BYTES = 256 << 20
LADDER = {  # name: bytes that are visited, bytes from place to place, whether L2 has them
    "l2-hit": (8 << 20, 128, True),
    "dram-128": (2 << 30, 128, False),
    "dram-4k": (2 << 30, 4096, False),
    "dram-new-page": (4 << 30, PAGE, False),
}
SOURCE = r"""
#define PIECE 512u
extern "C" __global__ void chase(const unsigned* next, unsigned steps, unsigned* sink) {
  unsigned at = 0;
  for (unsigned i = 0; i < steps; ++i) at = next[at];
  *sink = at;
}
// Each piece names the next one of its chain: a linear congruence visits all of a power of two.
extern "C" __global__ void link_pieces(unsigned* data, unsigned pieces) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < pieces; i += gridDim.x * blockDim.x)
    data[(size_t)i * 128] = (i * 1664525u + 1013904223u) & (pieces - 1);
}
static __device__ uint4 load(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  return v;
}
#define WARP unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32; unsigned sum = 0; \
  uint4 v[DEPTH];
#define TAKE for (unsigned d = 0; d < DEPTH; ++d) sum ^= v[d].x ^ v[d].y ^ v[d].z ^ v[d].w;
// A warp reads 64 pieces one after the other, then goes on behind all other warps: in a row ("flat"), or down a column
// of a matrix of 2 MiB ("tile"), of which two in three have rows of 16 pieces and the third of 64.
static __device__ unsigned segment_piece(unsigned step, unsigned warp_of_all, unsigned all_warps) {
  return (step / 64u * all_warps + warp_of_all) * 64u + step % 64u;
}
static __device__ unsigned tiled(unsigned piece) {
  unsigned matrix = piece / 4096u, segment = piece % 4096u / 64u, row = piece % 64u;
  return matrix * 4096u + (matrix % 3u < 2u ? segment / 16u * 1024u + segment % 16u + row * 16u : segment + row * 64u);
}
#define EACH_PIECE(PLACE) \
  for (unsigned d = 0; d < DEPTH; ++d) { \
    unsigned piece = segment_piece(s + d, first + warp, all) % pieces; \
    v[d] = load(data + (size_t)(PLACE) * 32 + lane); \
  }
extern "C" __global__ void tile(const uint4* data, unsigned steps, unsigned pieces, unsigned* sink) {
  WARP
  unsigned first = blockIdx.x * warps, all = gridDim.x * warps;
  for (unsigned s = 0; s + DEPTH <= steps; s += DEPTH) {
    #pragma unroll
    EACH_PIECE(tiled(piece))
    TAKE
  }
  if (sum == 1u) *sink = sum;
}
extern "C" __global__ void flat(const uint4* data, unsigned steps, unsigned pieces, unsigned* sink) {
  WARP
  unsigned first = blockIdx.x * warps, all = gridDim.x * warps;
  for (unsigned s = 0; s + DEPTH <= steps; s += DEPTH) {
    #pragma unroll
    EACH_PIECE(piece)
    TAKE
  }
  if (sum == 1u) *sink = sum;
}
// One thread chases; the CTAs behind the first stream tiles until it is done.
extern "C" __global__ void loaded(const uint4* data, unsigned pieces, const unsigned* next, unsigned steps,
                                  volatile unsigned* done, unsigned* sink) {
  if (blockIdx.x == 0) {
    if (threadIdx.x == 0) {
      unsigned at = 0;
      for (unsigned i = 0; i < steps; ++i) at = __ldcg(next + at);
      *sink = at;
      __threadfence();
      *done = 1u;
    }
    return;
  }
  WARP
  unsigned first = (blockIdx.x - 1) * warps, all = (gridDim.x - 1) * warps;
  for (unsigned s = 0; !*done; s += DEPTH) {
    #pragma unroll
    EACH_PIECE(tiled(piece))
    TAKE
  }
  if (sum == 1u) *sink = sum;
}
extern "C" __global__ void random_pieces(const uint4* data, unsigned steps, unsigned pieces, unsigned* sink) {
  WARP
  unsigned at[DEPTH];
  #pragma unroll
  for (unsigned d = 0; d < DEPTH; ++d) at[d] = ((blockIdx.x * warps + warp) * DEPTH + d) * 40503u & (pieces - 1);
  for (unsigned s = 0; s + DEPTH <= steps; s += DEPTH) {
    #pragma unroll
    for (unsigned d = 0; d < DEPTH; ++d) v[d] = load(data + (size_t)at[d] * 32 + lane);
    #pragma unroll
    for (unsigned d = 0; d < DEPTH; ++d) at[d] = __shfl_sync(0xffffffffu, v[d].x, 0);
    TAKE
  }
  if (sum == 1u) *sink = sum;
}
extern "C" __global__ void copy(const uint4* from, uint4* to, unsigned n) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) to[i] = from[i];
}
extern "C" __global__ void nothing(unsigned* sink) { if (sink == nullptr) *sink = 0; }
"""


class CupyBackend:
    """CuPy: kernels compiled by NVRTC."""

    def __init__(self):
        import cupy  # noqa: PLC0415 - may be absent

        self.cupy = cupy
        if not cupy.cuda.runtime.getDeviceCount():
            raise RuntimeError("CuPy sees no GPU")
        self._modules = {}
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        self.name = properties["name"].decode()
        self.sms = properties["multiProcessorCount"]
        self.software = f"CuPy {cupy.__version__}, CUDA {cupy.cuda.runtime.runtimeGetVersion()}"

    def array(self, values):
        """NumPy values on the GPU."""
        return self.cupy.asarray(values)

    def words(self, n):
        """So many words of zeros on the GPU."""
        return self.cupy.zeros(n, dtype=self.cupy.uint32)

    def launch(self, name, grid, block, args, depth=1):
        """Start a kernel. Whole numbers are 32 bits wide."""
        if depth not in self._modules:
            self._modules[depth] = self.cupy.RawModule(code=f"#define DEPTH {depth}u\n" + SOURCE)
        args = tuple(self.cupy.uint32(each) if isinstance(each, int) else each for each in args)
        self._modules[depth].get_function(name)((grid,), (block,), args)

    def synchronize(self):
        """Wait for the GPU."""
        self.cupy.cuda.get_current_stream().synchronize()

    def seconds(self, action):
        """GPU time of what `action` starts."""
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        begin.record()
        action()
        end.record()
        end.synchronize()
        return self.cupy.cuda.get_elapsed_time(begin, end) / 1e3

    def graph(self, action):
        """What `action` starts, as a function that launches it as one graph."""
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            stream.begin_capture()
            action()
            graph = stream.end_capture()
        return lambda: graph.launch(self.cupy.cuda.get_current_stream())


class TorchBackend:
    """PyTorch: kernels compiled by NVRTC too (`torch.cuda._compile_kernel`)."""

    def __init__(self):
        import torch  # noqa: PLC0415 - may be absent

        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU")
        if not hasattr(torch.cuda, "_compile_kernel"):
            raise RuntimeError(f"PyTorch {torch.__version__} cannot compile kernels; 2.9 or newer can")
        self.torch = torch
        self._kernels = {}
        properties = torch.cuda.get_device_properties(0)
        self.name, self.sms = properties.name, properties.multi_processor_count
        self.software = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"

    def array(self, values):
        """NumPy values on the GPU."""
        return self.torch.from_numpy(values.view("int32")).cuda()

    def words(self, n):
        """So many words of zeros on the GPU."""
        return self.torch.zeros(n, dtype=self.torch.int32, device="cuda")

    def launch(self, name, grid, block, args, depth=1):
        """Start a kernel. Whole numbers are 32 bits wide."""
        if (name, depth) not in self._kernels:
            source = f"#define DEPTH {depth}u\n" + SOURCE
            self._kernels[name, depth] = self.torch.cuda._compile_kernel(source, name)
        self._kernels[name, depth](grid=(grid, 1, 1), block=(block, 1, 1), args=args)

    def synchronize(self):
        """Wait for the GPU."""
        self.torch.cuda.synchronize()

    def seconds(self, action):
        """GPU time of what `action` starts."""
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        action()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def graph(self, action):
        """What `action` starts, as a function that launches it as one graph."""
        graph = self.torch.cuda.CUDAGraph()
        with self.torch.cuda.graph(graph):
            action()
        return graph.replay


def find_backend():
    """The first that works, or None; and why the others do not."""
    reasons = []
    for backend in (CupyBackend, TorchBackend):
        try:
            return backend(), reasons
        except Exception as error:  # not installed, no driver, no GPU: each library says it in its own way
            reasons.append(f"{backend.__name__.removesuffix('Backend')}: {error}")
    return None, reasons


def clock_mhz():
    """SM clock that the driver reports now, or None."""
    command = ["nvidia-smi", "--query-gpu=clocks.sm", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.split()[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def best(gpu, action, times=5):
    """Shortest of a few runs, after one to warm up: what disturbs makes it longer."""
    action()
    return min(gpu.seconds(action) for _ in range(times))


def chase_order(footprint, granule, n):
    """Byte offsets of `n` loads: lines of a page in random order, page after page, so that translations are found."""
    random = np.random.default_rng(0)
    if granule >= PAGE:  # a new page each time, anywhere in it
        pages = random.permutation(footprint // PAGE)[:n]
        return pages * PAGE + random.integers(0, PAGE // 128, len(pages)) * 128
    per_page = PAGE // granule
    pages = range(min(footprint // PAGE, -(-n // per_page)))
    return np.concatenate([page * PAGE + random.permutation(per_page) * granule for page in pages])[:n]


def chase_seconds(gpu, footprint, granule, is_resident):
    """Seconds per dependent load."""
    order = chase_order(footprint, granule, 1 << 20 if is_resident else 20_000) // 4
    order = np.concatenate([[0], order[order != 0]])  # it begins at 0
    words = np.zeros(footprint // 4, dtype=np.uint32)
    words[order] = np.roll(order, -1)
    data, sink, other = gpu.array(words), gpu.words(1), gpu.words(64 << 20)
    steps = len(order)
    if is_resident:
        return best(gpu, lambda: gpu.launch("chase", 1, 1, (data, steps, sink))) / steps
    found = []
    for _ in range(3):
        # So that nothing of the chase is left in L2.
        gpu.launch("flat", 8 * gpu.sms, 128, (other, 200, (256 << 20) // PIECE, sink))
        found.append(gpu.seconds(lambda: gpu.launch("chase", 1, 1, (data, steps, sink))) / steps)
    return min(found)


def stream_bytes_per_s(gpu, pattern, warps, ctas, depth):
    """Bytes per second that CTAs read with so many pieces in flight per warp."""
    pieces = STREAM_BYTES // PIECE
    data, sink = gpu.words(STREAM_BYTES // 4), gpu.words(1)
    gpu.launch("link_pieces", 4 * gpu.sms, 256, (data, pieces))
    steps = max(1, pieces // (ctas * warps) // depth) * depth
    name = "random_pieces" if pattern == "random" else pattern
    arguments = (data, steps, pieces, sink)
    return ctas * warps * steps * PIECE / best(gpu, lambda: gpu.launch(name, ctas, 32 * warps, arguments, depth))


def loaded_seconds(gpu, ctas, depth):
    """Seconds per dependent load over random pieces beside so many CTAs of four warps that stream tiles."""
    pieces = STREAM_BYTES // PIECE
    order = chase_order(STREAM_BYTES, PIECE, 4096) // 4
    order = np.concatenate([[0], order[order != 0]])  # it begins at 0
    words = np.zeros(STREAM_BYTES // 4, dtype=np.uint32)
    words[order] = np.roll(order, -1)
    data, chain, sink, steps = gpu.words(STREAM_BYTES // 4), gpu.array(words), gpu.words(1), len(order)
    found = []
    for _ in range(3):
        arguments = (data, pieces, chain, steps, gpu.words(1), sink)
        found.append(gpu.seconds(lambda these=arguments: gpu.launch("loaded", ctas + 1, 128, these, depth)) / steps)
    return sorted(found)[1]


def copy_bytes_per_s(gpu):
    """Bytes read and written per second by a copy of 1 GiB."""
    size = 1 << 30
    data, to = gpu.words(size // 4), gpu.words(size // 4)
    return 2 * size / best(gpu, lambda: gpu.launch("copy", 8 * gpu.sms, 512, (data, to, size // 16)))


def launch_seconds(gpu, n=500):
    """Host time of an eager launch and of a graph's, GPU time from kernel to kernel in a graph."""
    sink = gpu.words(1)

    def some():
        for _ in range(n):
            gpu.launch("nothing", 1, 32, (sink,))

    some()
    gpu.synchronize()
    begin = time.perf_counter()
    some()
    eager = (time.perf_counter() - begin) / n
    gpu.synchronize()
    graph = gpu.graph(some)
    graph()
    gpu.synchronize()
    begin = time.perf_counter()
    graph()
    host = time.perf_counter() - begin
    gpu.synchronize()
    return {"eager_launch": eager, "graph_launch": host, "kernel_boundary": gpu.seconds(graph) / n}


def measure(gpu, say=lambda text: None):
    """Records of every curve, in the form of `workloads/measurements/microbench.yaml`."""
    found = []

    def note(name, group, value, unit, probe):
        say(f"{name:<28}{value:10.2f} {unit}")
        found.append({"id": name, "group": group, "value": round(value, 4), "unit": unit, "quality": "medium",
                      "clock_mhz": clock_mhz(), "probe": probe, "source": "here",
                      "conditions": f"{gpu.name}, {gpu.software}"})  # fmt: skip

    for name, (footprint, granule, is_resident) in LADDER.items():
        probe = {"kind": "chase", "footprint": footprint, "granule": granule}
        seconds = chase_seconds(gpu, footprint, granule, is_resident)
        note(f"latency-{name}", "latency ladder", seconds * 1e9, "ns", probe)
    for pattern, warps, depths, per_sm in (
        ("tile", 4, (1, 2, 4, 8), (1, 2, 4)), ("flat", 4, (1, 2, 4, 8), (1, 2, 4)), ("random", 1, (1, 2, 4), (1,)),
        ("random", 4, (1, 2, 4), (1, 4)),
    ):  # fmt: skip
        for many in per_sm:
            for depth in depths:
                ctas = many * gpu.sms
                probe = {"kind": "stream", "pattern": pattern, "warps": warps, "ctas": ctas,
                         "inflight": PIECE * warps * depth, "batched": True}  # fmt: skip
                rate = stream_bytes_per_s(gpu, pattern, warps, ctas, depth)
                note(f"in-flight-{pattern}-w{warps}-d{depth}-c{many}", "bytes in flight", rate / 1e9, "GB/s", probe)
    for ctas in (gpu.sms // 4, gpu.sms // 2, gpu.sms, 2 * gpu.sms, 4 * gpu.sms):
        probe = {"kind": "loaded", "pattern": "tile", "warps": 4, "ctas": ctas, "inflight": PIECE * 16, "batched": True}
        note(f"loaded-{ctas}", "loaded latency", loaded_seconds(gpu, ctas, 4) * 1e9, "ns", probe)
    probe = {"kind": "stream", "access": "copy", "pattern": "flat", "warps": 8, "ctas": 4 * gpu.sms, "inflight": 8192}
    note("copy", "ceilings", copy_bytes_per_s(gpu) / 1e9, "GB/s", probe)
    for field, seconds in launch_seconds(gpu).items():
        note(field.replace("_", "-"), "launch", seconds * 1e6, "us", {"kind": "given", "field": f"gpu.{field}"})
    return found


def to_yaml(records, hardware, source):
    """The measurements file: one record per line."""
    lines = ["schema: sparksim.microbench/1", f"hardware: {json.dumps(hardware)}", "sources:",
             f"  here: {json.dumps(source)}", "records:"]  # fmt: skip
    return "\n".join([*lines, *(f"  - {json.dumps(record)}" for record in records)]) + "\n"


def main(words=None):
    """0 when the file is written, 2 when there is nothing to measure with."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file", nargs="?", default="measured.yaml", help="where to write (default measured.yaml)")
    parser.add_argument("--hardware", default="dgx-spark", help="name of the hardware file that describes this machine")
    arguments = parser.parse_args(words)
    gpu, reasons = find_backend()
    if gpu is None:
        print(
            "nothing to measure with: a CUDA GPU and CuPy or PyTorch are needed", *reasons, sep="\n  ", file=sys.stderr
        )
        return 2
    source = f"measured with examples/measure_gpu.py on {date.today().isoformat()}"
    records = measure(gpu, lambda text: print(text, file=sys.stderr))
    Path(arguments.file).write_text(to_yaml(records, arguments.hardware, source), encoding="utf-8")
    print(f"{len(records)} measurements of {gpu.name} in {arguments.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
