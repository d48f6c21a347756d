"""bench_moe_triton.py FILE [TOKENS ...]: a fused mixture-of-experts layer in Triton, for bench.lua to set luabench's
by.

GLM-4.7-Flash's dimensions: 64 experts of 1536, 4 a token, hidden 2048. Weights int4 in groups of 128 (about as many
bytes as the mixed widths of luabench's layer). Slots are sorted by expert and padded to blocks; one launch for gate, up
and SwiGLU, one for down; sums over a token's experts last. Checked against plain PyTorch, then timed as graph replays
over routings that share no experts where the batch leaves any; the fastest of some tile shapes. Microseconds, JSON to
FILE after each row; times that an earlier run of this version on such a device left there are kept."""
import json
import os
import sys

import torch
import triton
import triton.language as tl

GROUP = 128
# Triton's interpreter, which shows without a GPU that the kernels are right, knows no bf16.
HALF = torch.float16 if os.environ.get("TRITON_INTERPRET") else torch.bfloat16


@triton.jit
def half_product(x, at, codes, mask, K, BLOCK_M: tl.constexpr):
    """BLOCK_M rows of x, 64 columns from `at` on, times codes - 8."""
    rows = tl.load(x[:, None] + (at + tl.arange(0, 64))[None, :], mask=mask[:, None], other=0.0)
    return tl.dot(rows, tl.trans((codes.to(tl.int32) - 8).to(rows.dtype)))


@triton.jit
def gate_up(x, wg, wu, sg, su, h, slots, experts, N, K, S, TOP: tl.constexpr, BLOCK_M: tl.constexpr,
            BLOCK_N: tl.constexpr):
    """h[slot] = silu(gate) * up of a block of slots of one expert."""
    slot = tl.load(slots + tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))
    expert = tl.load(experts + tl.program_id(0))
    mask = slot < S
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = x + (slot // TOP).to(tl.int64) * K
    base = (expert.to(tl.int64) * N + n)
    gate = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    up = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, 128):
        at = base[:, None] * (K // 2) + (k // 2 + tl.arange(0, 64))[None, :]
        g, u = tl.load(wg + at), tl.load(wu + at)
        dg = half_product(row, k, g & 15, mask, K, BLOCK_M) + half_product(row, k + 64, g >> 4, mask, K, BLOCK_M)
        du = half_product(row, k, u & 15, mask, K, BLOCK_M) + half_product(row, k + 64, u >> 4, mask, K, BLOCK_M)
        scale = base * (K // 128) + k // 128
        gate += dg * tl.load(sg + scale)[None, :]
        up += du * tl.load(su + scale)[None, :]
    out = (gate * tl.sigmoid(gate) * up).to(h.dtype.element_ty)
    tl.store(h + slot.to(tl.int64)[:, None] * N + n[None, :], out, mask=mask[:, None])


@triton.jit
def down(h, wd, sd, weight, y, slots, experts, N, K, S, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """y[slot] = weight[slot] * (W h[slot])."""
    slot = tl.load(slots + tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M))
    expert = tl.load(experts + tl.program_id(0))
    mask = slot < S
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = h + slot.to(tl.int64) * K
    base = (expert.to(tl.int64) * N + n)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(0, K, 128):
        w = tl.load(wd + base[:, None] * (K // 2) + (k // 2 + tl.arange(0, 64))[None, :])
        d = half_product(row, k, w & 15, mask, K, BLOCK_M) + half_product(row, k + 64, w >> 4, mask, K, BLOCK_M)
        total += d * tl.load(sd + base * (K // 128) + k // 128)[None, :]
    total *= tl.load(weight + slot, mask=mask, other=0.0)[:, None]
    tl.store(y + slot.to(tl.int64)[:, None] * N + n[None, :], total, mask=mask[:, None])


class Weights:
    """[E][N][K] int4: in each 128 columns byte i has column i low and 64 + i high."""

    def __init__(self, experts, n, k, device, generator):
        self.packed = torch.randint(0, 256, (experts, n, k // 2), dtype=torch.uint8, device=device, generator=generator)
        self.scales = torch.rand(experts, n, k // GROUP, device=device, generator=generator) * 0.02 + 0.001

    def matrix(self, expert):
        p = self.packed[expert].view(self.packed.shape[1], -1, GROUP // 2)
        codes = torch.cat([p & 15, p >> 4], dim=2).float() - 8
        return (codes * self.scales[expert][:, :, None]).flatten(1)


def blocks_of(expert, experts, block):
    """Slots sorted by expert, padded to blocks; the expert of each block. Fixed sizes and no synchronisation."""
    flat = expert.flatten()
    s = flat.numel()
    most = min(s, experts) + s // block + 1
    counts = torch.zeros(experts, dtype=torch.int64, device=flat.device).scatter_add_(0, flat, torch.ones_like(flat))
    padded = (counts + block - 1) // block
    ends = torch.cumsum(padded, 0)
    order = torch.argsort(flat, stable=True)
    owner = flat[order]
    rank = torch.arange(s, device=flat.device) - (torch.cumsum(counts, 0) - counts)[owner]
    slots = torch.full((most * block,), s, dtype=torch.int32, device=flat.device)
    slots.scatter_(0, (ends - padded)[owner] * block + rank, order.to(torch.int32))
    of = torch.searchsorted(ends, torch.arange(most, device=flat.device), right=True).clamp_(max=experts - 1)
    return slots, of.to(torch.int32), most


class Layer:
    def __init__(self, hidden, inner, experts, top, device):
        g = torch.Generator(device=device).manual_seed(1)
        self.hidden, self.inner, self.experts, self.top, self.device = hidden, inner, experts, top, device
        self.gate, self.up = (Weights(experts, inner, hidden, device, g) for _ in range(2))
        self.down = Weights(experts, hidden, inner, device, g)

    def buffers(self, tokens):
        s = tokens * self.top
        return (torch.empty(s, self.inner, dtype=HALF, device=self.device),
                torch.empty(s, self.hidden, dtype=torch.float32, device=self.device))

    def run(self, x, expert, weight, shape, buffers):
        block_m, block_n, warps, stages = shape
        h, y = buffers
        s = expert.numel()
        slots, of, most = blocks_of(expert, self.experts, block_m)
        gate_up[(most, self.inner // block_n)](
            x, self.gate.packed, self.up.packed, self.gate.scales, self.up.scales, h, slots, of, self.inner,
            self.hidden, s, TOP=self.top, BLOCK_M=block_m, BLOCK_N=block_n, num_warps=warps, num_stages=stages)
        down[(most, self.hidden // block_n)](
            h, self.down.packed, self.down.scales, weight, y, slots, of, self.hidden, self.inner, s,
            BLOCK_M=block_m, BLOCK_N=block_n, num_warps=warps, num_stages=stages)
        return y.view(-1, self.top, self.hidden).sum(1)

    def expected(self, x, expert, weight):
        out = torch.zeros(x.shape[0], self.hidden, device=self.device)
        for t in range(x.shape[0]):
            for j in range(self.top):
                e = int(expert[t, j])
                gate, up = self.gate.matrix(e) @ x[t].float(), self.up.matrix(e) @ x[t].float()
                h = (torch.nn.functional.silu(gate) * up).to(HALF).float()
                out[t] += weight[t * self.top + j] * (self.down.matrix(e) @ h)
        return out


def routing(layer, tokens, seed):
    """Top-k of random scores; a small batch's routings take their experts in turn, so that few are met again soon."""
    g = torch.Generator(device=layer.device).manual_seed(100 + seed)
    if tokens == 1:
        first = seed * layer.top % layer.experts
        expert = (first + torch.arange(layer.top, device=layer.device))[None, :] % layer.experts
    else:
        expert = torch.rand(tokens, layer.experts, device=layer.device, generator=g).topk(layer.top).indices
    x = torch.randn(tokens, layer.hidden, device=layer.device, generator=g).to(HALF)
    weight = torch.softmax(torch.randn(tokens, layer.top, device=layer.device, generator=g), 1).flatten().contiguous()
    return x, expert, weight


def check(layer, tokens, shape):
    x, expert, weight = routing(layer, tokens, 7)
    got, want = layer.run(x, expert, weight, shape, layer.buffers(tokens)), layer.expected(x, expert, weight)
    error = float((got - want).norm() / want.norm())
    if not error < 1e-2:
        raise RuntimeError(f"wrong result: relative error {error:g}")
    return error


def timed(layer, tokens, shape, sets=16):
    jobs = [(*routing(layer, tokens, i), shape, layer.buffers(tokens)) for i in range(sets)]
    for job in jobs:
        layer.run(*job)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for job in jobs:
            layer.run(*job)
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


def first_line(error):
    return (str(error).splitlines() or [repr(error)])[0]


def fastest(layer, tokens):
    """Of the tile shapes that this device takes."""
    shapes = [(16, 32, 4, 4), (16, 64, 4, 4), (16, 128, 4, 3), (32, 64, 4, 4), (64, 64, 4, 3), (64, 128, 8, 3)]
    check(layer, min(tokens, 16), shapes[1])
    times, refused = [], {}
    for shape in shapes:
        if shape[0] > 16 and tokens * 4 <= shape[0]:
            continue
        try:
            times.append((timed(layer, tokens, shape), shape))
        except Exception as error:
            refused[str(shape)] = first_line(error)
    if not times:
        raise RuntimeError(str(refused))
    best = min(times)
    return {"us": best[0], "shape": best[1], **({"refused": refused} if refused else {})}


def main():
    tokens = [int(a) for a in sys.argv[2:]] or [1, 16, 64, 256]
    if os.environ.get("TRITON_INTERPRET"):  # no GPU: only whether the kernels are right, on small dimensions
        layer = Layer(256, 128, 8, 2, torch.device("cpu"))
        for t in (1, 5):
            print(f"{t} tokens: relative error {check(layer, t, (16, 32, 4, 1)):.2e}")
        return
    if not torch.cuda.is_available():
        sys.exit("PyTorch is here, but sees no GPU")
    said = {"triton": triton.__version__, "device": torch.cuda.get_device_name()}
    rows = {}
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1]) as file:
            earlier = json.load(file)
        if all(earlier.get(k) == v for k, v in said.items()):
            rows = {name: row for name, row in earlier["rows"].items() if "us" in row}
    layer = Layer(2048, 1536, 64, 4, torch.device("cuda"))
    for t in tokens:
        name = f"Triton fused MoE int4, {t} tokens"
        if name in rows:
            continue
        try:
            rows[name] = fastest(layer, t)
            print(f"{name:40s} {rows[name]['us']:10.2f} us", flush=True)
        except Exception as error:  # a row that Triton refuses says why
            rows[name] = {"error": first_line(error)}
            print(f"{name:40s} not run: {rows[name]['error']}", flush=True)
        with open(sys.argv[1] + ".new", "w") as file:  # after each row: what ends this early leaves them
            json.dump({**said, "rows": rows}, file, indent=1)
        os.replace(sys.argv[1] + ".new", sys.argv[1])


main()
