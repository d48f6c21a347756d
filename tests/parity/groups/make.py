"""make.py: writes the data that test_quantizer_parity.c compares our integer, sparse and trellis formats with.

    pip install numpy==2.4.6 torch==2.15.0 torchao==0.18.0 && python3 tests/parity/groups/make.py

Codes, scales and zeros come from torchao (uintx, int8dq, int8adq-int4w-symm, intx) or from NumPy by the rules of the
formats' own tools (gptq, awq, marlin, sparse). NumPy packs them here into the planes that kernels/quant documents, and
values are computed from the packed bytes again, by loops over single elements. Beside this script:
  grid.txt       a line a format: its name, CRC-32 in hexadecimal of its store and of its f32 values, for 128 x 256
                 small integers over 1024 from a formula that the test has too
  hqq.txt        the -hqq formats
  hqq.values     f32, torchao's values of 2 x 512 normal weights for each of them in turn, every group solved by itself
  hqq.source     those weights
  gptq.txt, .source, .samples, .values   8 x 160 weights, 96 samples of correlated activations, f32 values of GPTQ's
                 result
  trellis.txt, .store, .values   random streams of 2 rows x 512, scales 1 and 0.5, and their f32 values from f64
"""
import pathlib
import zlib

import numpy as np
import torch
from torchao.quantization.quant_primitives import (
    MappingType, _choose_qparams_and_quantize_affine_hqq, choose_qparams_affine, optimize_weights_proximal_legacy,
    quantize_affine)

HERE = pathlib.Path(__file__).parent
N, K = 128, 256
EPS = float(torch.finfo(torch.float32).eps)


def grid():
    i = np.arange(N * K, dtype=np.uint32)
    value = ((i * np.uint32(2654435761)) >> np.uint32(20)).astype(np.int64) - 2048
    row, column = i.astype(np.int64) // K, i.astype(np.int64) % K
    return ((value * (1 + row % 5) * (1 + column // 32 % 3)).astype(np.float32) / np.float32(1024)).reshape(N, K)


def up64(b):
    return b + bytes(-len(b) % 64)


def stream(codes, bits):
    """Codes of each row as one bit stream, the first in the lowest bits."""
    bit = (codes[..., None].astype(np.uint16) >> np.arange(bits)) & 1
    return np.packbits(bit.reshape(codes.shape[0], -1).astype(np.uint8), axis=1, bitorder="little")


def affine(x, group, bits, low, mapping, eps):
    t = torch.from_numpy(x)
    size, high = (1, group), low + 2**bits - 1
    s, z = choose_qparams_affine(t, mapping, size, torch.int32, low, high, eps, torch.float32, torch.int32,
                                 keepdim=True)
    q = quantize_affine(t, size, s, z, torch.int32, low, high)
    return q.numpy(), s.numpy(), z.numpy()


def values_of(q, s, z, group):
    each = lambda a: np.repeat(a, group, axis=1)
    return ((q - each(z)).astype(np.float32) * each(s)).astype(np.float32)


def uintx(x, bits, group):
    q, s, z = affine(x, group, bits, 0, MappingType.ASYMMETRIC, EPS)
    store = up64(stream(q, bits).tobytes()) + up64(s.tobytes()) + z.astype(np.uint8).tobytes()
    return store, values_of(q, s, z, group)


def intx(x, bits, group):
    q, s, z = affine(x, group, bits, -2 ** (bits - 1), MappingType.SYMMETRIC, None)
    assert not z.any()
    return up64(stream(q + 2 ** (bits - 1), bits).tobytes()) + s.tobytes(), values_of(q, s, z, group)


def int8_rows(x):
    q, s, z = affine(x, K, 8, -128, MappingType.SYMMETRIC, EPS)
    return up64(q.astype(np.int8).tobytes()) + s.tobytes(), values_of(q, s, z, K)


def int4_rows(x):
    q, s, z = affine(x, K, 4, -8, MappingType.SYMMETRIC, EPS)
    return up64(stream(q & 15, 4).tobytes()) + s.tobytes(), values_of(q, s, z, K)


def bf16(x):
    return torch.from_numpy(x).bfloat16()


def baseline(x):
    t = bf16(x)
    return t.view(torch.int16).numpy().tobytes(), t.float().numpy()


def nearest(x, group, top, zero_in_range, least, zero_range):
    """q, f16 scale and integer zero of the checkpoints' tools."""
    g = x.reshape(N, -1, group)
    lo, hi = g.min(2), g.max(2)
    if zero_in_range:
        lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
    exact = (np.maximum(hi - lo, np.float32(least)) / np.float32(top)).astype(np.float32)
    s = exact.astype(np.float16)
    inverse = (np.float32(1) / s.astype(np.float32)).astype(np.float32)
    if zero_in_range:
        z = np.rint(-lo * (np.float32(1) / exact))
    else:
        z = -np.rint(lo / exact)
    z = np.clip(z, *zero_range).astype(np.int64)
    q = np.clip(np.rint(g * inverse[..., None]) + z[..., None], 0, top).astype(np.int64)
    w = (q - z[..., None]).astype(np.float32) * s.astype(np.float32)[..., None]
    return q.reshape(N, K), s, z, w.reshape(N, K)


def gptq(x, bits, group):
    top = 2**bits - 1
    q, s, z, w = nearest(x, group, top, True, 0, (1, top + 1))
    words = stream(q, bits).view("<u4")                       # [N][K b / 32]
    zeros = stream((z - 1).T, bits).view("<u4")               # [K / g][N b / 32]
    return up64(words.T.copy().tobytes()) + up64(zeros.tobytes()) + s.T.copy().tobytes(), w


ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq_words(rows):                                          # [..][N] to [..][N / 8]
    eight = rows.reshape(rows.shape[0], -1, 8).astype(np.uint32)
    return sum(eight[:, :, ORDER[i]] << np.uint32(4 * i) for i in range(8)).astype("<u4")


def awq(x, group):
    q, s, z, w = nearest(x, group, 15, False, 1e-5, (0, 15))
    return up64(awq_words(q.T).tobytes()) + up64(awq_words(z.T).tobytes()) + s.T.copy().tobytes(), w


def marlin_perms():
    perm = []
    for i in range(32):
        one = [16 * row + i // 4 + 8 * block for block in (0, 1)
               for row in (2 * (i % 4), 2 * (i % 4) + 1, 2 * (i % 4 + 4), 2 * (i % 4 + 4) + 1)]
        for j in range(4):
            perm += [p + 256 * j for p in one]
    perm = np.array(perm).reshape(-1, 8)[:, ORDER].ravel()
    return perm, np.array([i + 8 * j for i in range(8) for j in range(8)])


def marlin(x):
    g = x.reshape(N, -1, 128)
    s = (np.abs(g).max(2) * np.float32(2) / np.float32(15)).astype(np.float16)
    inverse = (np.float32(1) / s.astype(np.float32)).astype(np.float32)
    q = np.clip(np.rint(g * inverse[..., None]) + 8, 0, 15).astype(np.int64)
    w = (q - 8).astype(np.float32) * s.astype(np.float32)[..., None]
    perm, scale_perm = marlin_perms()
    tiles = q.reshape(N, K).T.reshape(K // 16, 16, N // 16, 16).transpose(0, 2, 1, 3).reshape(K // 16, N * 16)
    tiles = tiles.reshape(-1, 1024)[:, perm].reshape(-1, 8).astype(np.uint32)
    words = sum(tiles[:, i] << np.uint32(4 * i) for i in range(8)).astype("<u4")
    scales = s.T.reshape(-1, 64)[:, scale_perm]
    return words.tobytes() + scales.tobytes(), w.reshape(N, K)


def kept_values(kept, kind):
    """The bytes of kept values [N][..], their scales' bytes, and what they stand for."""
    if kind == "":
        t = bf16(kept)
        return t.view(torch.int16).numpy().tobytes(), b"", t.float().numpy()
    amax = np.abs(kept).max(1, keepdims=True)
    if kind == "-int8dq":
        s = np.maximum(amax / np.float32(127.5), np.float32(EPS))
        q = np.clip(np.rint(kept * (np.float32(1) / s)), -128, 127).astype(np.int8)
        return q.tobytes(), s.tobytes(), q.astype(np.float32) * s
    s = (amax / np.float32(448)).astype(np.float32)
    q = torch.from_numpy(kept / s).to(torch.float8_e4m3fn)
    return q.view(torch.uint8).numpy().tobytes(), s.tobytes(), q.float().numpy() * s


def sparse24(x, kind):
    places = np.zeros((N, K // 4, 2), int)
    for r in range(N):
        for b in range(K // 4):
            four = sorted(range(4), key=lambda i: (-abs(x[r, 4 * b + i]), i))[:2]
            places[r, b] = sorted(four)
    kept = np.take_along_axis(x.reshape(N, -1, 4), places, 2).reshape(N, -1)
    data, scales, values = kept_values(kept, kind)
    w = np.zeros((N, K // 4, 4), np.float32)
    np.put_along_axis(w, places, values.reshape(N, -1, 2), 2)
    store = up64(data) + stream(places.reshape(N, -1), 2).tobytes()
    return (up64(store) + scales if scales else store), w.reshape(N, K)


def block_sparse(x, kind):
    blocks = x.reshape(N // 64, 64, K // 64, 64).astype(np.float64)
    weight = (blocks**2).sum((1, 3))
    half = (K // 64 + 1) // 2
    columns = np.array([sorted(sorted(range(K // 64), key=lambda b: (-w[b], b))[:half]) for w in weight])
    kept = np.stack([x[r].reshape(-1, 64)[columns[r // 64]].ravel() for r in range(N)])
    data, scales, values = kept_values(kept, kind)
    w = np.zeros((N, K // 64, 64), np.float32)
    for r in range(N):
        w[r, columns[r // 64]] = values[r].reshape(half, 64)
    store = up64(data) + columns.astype("<i4").tobytes()
    return (up64(store) + scales if scales else store), w.reshape(N, K)


def write_grid():
    x = grid()
    formats = [("baseline", baseline(x)), ("int8wo", int8_rows(x)), ("int8dq", int8_rows(x)),
               ("int8dq_prefill_wo_decode", int8_rows(x)), ("int8adq-int4w-symm", int4_rows(x)), ("marlin", marlin(x))]
    for g in (32, 64, 128, 256):
        formats += [(f"uintx-{b}-{g}", uintx(x, b, g)) for b in range(1, 9)]
        formats += [(f"int8_dynamic_activation_intx_weight-{b}-{g}", intx(x, b, g)) for b in range(2, 9)]
        formats += [(f"gptq-{b}-{g}", gptq(x, b, g)) for b in (3, 4, 8)]
        formats += [(f"awq-4-{g}", awq(x, g))]
    for kind in ("", "-int8dq", "-float8dq"):
        formats += [("sparse24" + kind, sparse24(x, kind)), ("block-sparse" + kind, block_sparse(x, kind))]
    lines = [f"{name} {zlib.crc32(store):08x} {zlib.crc32(w.astype('<f4').tobytes()):08x}\n"
             for name, (store, w) in formats]
    (HERE / "grid.txt").write_text("".join(lines))


def in_f64(dtype=None, **options):
    """When the rounds end is decided by errors that differ in their last bits: of f32 sums, by their order."""
    q, s, z = optimize_weights_proximal_legacy(dtype=torch.float64, **options)
    return q, s.float(), z.float()


def hqq(row, bits, group):
    values = []
    for part in row.reshape(-1, group):
        q, s, z, _ = _choose_qparams_and_quantize_affine_hqq(
            torch.from_numpy(part[None].copy()), bits, group, True, 1, torch.float32, "cpu", False, True, in_f64)
        values.append(((q.float() - z) * s).numpy().ravel())
    return np.concatenate(values)


def write_hqq():
    x = np.random.default_rng(11).standard_normal((2, 512)).astype(np.float32)
    x[1] *= np.float32(0.02)
    names, values = [], []
    for bits in range(1, 9):
        for group in (32, 64, 128, 256) if bits == 4 else (64,):
            names.append(f"uintx-{bits}-{group}-hqq")
            values.append(np.stack([hqq(row, bits, group) for row in x]))
    (HERE / "hqq.txt").write_text("".join(f"{n}\n" for n in names))
    (HERE / "hqq.source").write_bytes(x.astype("<f4").tobytes())
    (HERE / "hqq.values").write_bytes(np.stack(values).astype("<f4").tobytes())


def sign(k):
    h = k * 0x9E3779B1 & 0xFFFFFFFF
    h = (h ^ h >> 15) * 0x85EBCA77 & 0xFFFFFFFF
    return -1.0 if (h ^ h >> 13) & 1 else 1.0


def trellis_values(words, bits, length, scale, k0):
    stream_bits = "".join(f"{w:032b}" for w in words)
    value = []
    for t in range(256):
        end = (t + 1) * bits
        state = int("".join(stream_bits[i % len(stream_bits)] for i in range(end - length, end)), 2)
        v = state * 0x83DCD12D & 0xFFFFFFFF
        value.append((sum(v.to_bytes(4, "little")) - 510) / 147.7 * scale)
    h = np.array([[1.0]])
    while len(h) < 128:
        h = np.block([[h, h], [h, -h]])
    y = (np.array(value).reshape(2, 128) @ h / np.sqrt(128)).ravel()
    return y * [sign(k0 + i) for i in range(256)]


def write_trellis():
    r = np.random.default_rng(12)
    names, stores, values = [], b"", []
    for name, bits, length in (("trellis-2", 2, 16), ("trellis-3", 3, 16), ("trellis-4", 4, 16),
                               ("trellis-3-L12", 3, 12), ("trellis-2-L8", 2, 8)):
        words = r.integers(0, 2**32, (2, 2, 8 * bits), dtype=np.uint32)
        scales = np.array([1.0, 0.5], np.float32)
        names.append(name)
        stores += up64(words.astype("<u4").tobytes()) + scales.tobytes()
        values += [trellis_values(words[n, t], bits, length, float(scales[n]), 256 * t) for n in (0, 1) for t in (0, 1)]
    (HERE / "trellis.txt").write_text("".join(f"{n}\n" for n in names))
    (HERE / "trellis.store").write_bytes(stores)
    (HERE / "trellis.values").write_bytes(np.concatenate(values).astype("<f4").tobytes())


def write_gptq():
    """GPTQ column by column, without blocks, with the inverse Hessian from LAPACK."""
    n, k, m = 8, 160, 96
    r = np.random.default_rng(13)
    x = (r.standard_normal((m, 24)) @ r.standard_normal((24, k)) + 0.3 * r.standard_normal((m, k))).astype(np.float32)
    x[:, 37] = 0
    w = r.standard_normal((n, k)).astype(np.float32)
    (HERE / "gptq.samples").write_bytes(x.astype("<f4").tobytes())
    (HERE / "gptq.source").write_bytes(w.astype("<f4").tobytes())
    h = 2 * x.astype(np.float64).T @ x.astype(np.float64)
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    h += 0.01 * np.diag(h).mean() * np.eye(k)
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    names, values = [], []
    for bits in (3, 4, 8):
        top, work, done = 2**bits - 1, w.astype(np.float64), np.zeros((n, k), np.float32)
        work[:, dead] = 0
        for i in range(k):
            if i % 32 == 0:
                part = work[:, i:i + 32].astype(np.float32)
                lo, hi = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
                exact = ((hi - lo) / np.float32(top)).astype(np.float32)
                s = exact.astype(np.float16).astype(np.float32)
                z = np.clip(np.rint(-lo * (np.float32(1) / exact)), 1, top + 1)
            q = np.clip(np.rint(work[:, i].astype(np.float32) * (np.float32(1) / s)) + z, 0, top)
            done[:, i] = (q - z).astype(np.float32) * s
            error = (work[:, i] - done[:, i]) / u[i, i]
            work[:, i:] -= np.outer(error, u[i, i:])
        names.append(f"gptq-{bits}-32")
        values.append(done)
    (HERE / "gptq.txt").write_text("".join(f"{n}\n" for n in names))
    (HERE / "gptq.values").write_bytes(np.stack(values).astype("<f4").tobytes())


write_grid()
write_hqq()
write_trellis()
write_gptq()
