"""bench_torch.py FILE: PyTorch's own times for what bench.lua measures: cuBLASLt's products, its int4 product, scaled
dot-product attention. Graph replays over rotated weights, median of 20, in microseconds; JSON to FILE. Times that an
earlier run of this version on such a device left in FILE are kept."""
import json
import os
import sys

import torch

if not torch.cuda.is_available():
    sys.exit("PyTorch is here, but sees no GPU")
device = torch.device("cuda")
L2 = torch.cuda.get_device_properties(device).L2_cache_size


def timed(make, bytes_each):
    """make(i) -> a function that runs set i; captured over enough sets that weights are cold."""
    sets = max(1, min(64, int(4 * L2 / max(bytes_each, 1)) + 1))
    runs = [make(i) for i in range(sets)]
    for run in runs:
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for run in runs:
            run()
    times = []
    for _ in range(25):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        graph.replay()  # while it runs the next one is enqueued, so that no gap is timed
        a.record()
        graph.replay()
        b.record()
        b.synchronize()
        times.append(1000 * a.elapsed_time(b) / sets)
    return sorted(times[5:])[10]


def product(m, n, k, dtype):
    def make(_):
        x = torch.randn(m, k, device=device, dtype=dtype)
        w = torch.randn(n, k, device=device, dtype=dtype)
        return lambda: torch.nn.functional.linear(x, w)
    return timed(make, n * k * 2)


def int4(m, n, k, group=128):
    def make(_):
        x = torch.randn(m, k, device=device, dtype=torch.bfloat16)
        w = torch.randint(0, 255, (n, k // 2), device=device, dtype=torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack(w, 8)
        scales = torch.rand(k // group, n, 2, device=device, dtype=torch.bfloat16)
        return lambda: torch.ops.aten._weight_int4pack_mm(x, packed, group, scales)
    return timed(make, n * k // 2)


def compiled_int8(m, n, k):
    """Weights in int8 with a scale a row, as torch.compile fuses the conversion into its own product."""
    def linear(x, w, scale):
        return torch.nn.functional.linear(x, w.to(x.dtype)) * scale
    fast = torch.compile(linear, mode="max-autotune-no-cudagraphs")

    def make(_):
        x = torch.randn(m, k, device=device, dtype=torch.bfloat16)
        w = torch.randint(-127, 128, (n, k), device=device, dtype=torch.int8)
        scale = torch.rand(n, device=device, dtype=torch.bfloat16)
        return lambda: fast(x, w, scale)
    return timed(make, n * k)


def fp8(n):
    one = torch.tensor(1.0, device=device)

    def make(_):
        x = torch.randn(n, n, device=device).to(torch.float8_e4m3fn)
        w = torch.randn(n, n, device=device).to(torch.float8_e4m3fn)
        return lambda: torch._scaled_mm(x, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    return timed(make, n * n)


def attention(batch, rows, positions, heads, groups, dim, causal):
    def make(_):
        q = torch.randn(batch, heads, rows, dim, device=device, dtype=torch.bfloat16)
        k = torch.randn(batch, groups, positions, dim, device=device, dtype=torch.bfloat16)
        v = torch.randn(batch, groups, positions, dim, device=device, dtype=torch.bfloat16)
        return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return timed(make, 4 * batch * groups * positions * dim)


def main():
    said = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    rows = {}
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1]) as file:
            earlier = json.load(file)
        if all(earlier.get(k) == v for k, v in said.items()):
            rows = {name: row for name, row in earlier["rows"].items() if "us" in row}
    work = {
        "linear bf16 M = 1, 28672 x 8192": lambda: product(1, 28672, 8192, torch.bfloat16),
        "linear bf16 M = 16, 8192 x 8192": lambda: product(16, 8192, 8192, torch.bfloat16),
        "linear bf16 M = 256, 8192 x 8192": lambda: product(256, 8192, 8192, torch.bfloat16),
        "linear bf16 8192^3": lambda: product(8192, 8192, 8192, torch.bfloat16),
        "fp8 8192^3": lambda: fp8(8192),
        "int4 M = 1, 28672 x 8192": lambda: int4(1, 28672, 8192),
        "int4 M = 16, 8192 x 8192": lambda: int4(16, 8192, 8192),
        "int4 M = 256, 8192 x 8192": lambda: int4(256, 8192, 8192),
        "attention causal S = 8192": lambda: attention(1, 8192, 8192, 8, 8, 128, True),
        "attention decode 8 x 16384": lambda: attention(8, 1, 16384, 32, 8, 128, False),
        "compiled int8 M = 1, 28672 x 8192": lambda: compiled_int8(1, 28672, 8192),
    }
    for name, run in work.items():
        if name in rows:
            continue
        try:
            rows[name] = {"us": run()}
            print(f"{name:40s} {rows[name]['us']:10.2f} us")
        except Exception as error:  # a row that PyTorch refuses says why
            rows[name] = {"error": (str(error).splitlines() or [type(error).__name__])[0]}
            print(f"{name:40s} not run: {rows[name]['error']}")
        torch.cuda.empty_cache()
        with open(sys.argv[1] + ".new", "w") as file:  # after each row: what ends this early leaves them
            json.dump({**said, "rows": rows}, file, indent=1)
        os.replace(sys.argv[1] + ".new", sys.argv[1])


main()
