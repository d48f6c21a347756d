"""make_integer.py: int8wo and int4wo by NumPy, from their rules alone, for test_quantizer_parity.c to compare with.

    pip install numpy==2.4.6 && python3 tests/parity/gguf/make_integer.py

Little-endian files without headers, beside this script; a matrix has ROWS rows of K = 512:
  integer.source        f32 [ROWS][K]
  <name>.codes          int8wo: int8 [ROWS][K]; int4wo-<g>: uint8 [ROWS][K / 2], even k in the high nibble
  <name>.scales         int8wo: f32 [ROWS]; int4wo-<g>: bf16 pairs (scale, zero) [ROWS][K / g][2]
  <name>.dequantized    f32 [ROWS][K]
"""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
ROWS, K = 6, 512
f32 = np.float32


def to_bf16_bits(x):
    """Nearest bf16, ties to even, of finite f32."""
    u = np.ascontiguousarray(x, f32).view(np.uint32).astype(np.uint64)
    low, high = u & 0xFFFF, u >> 16
    up = (low > 0x8000) | ((low == 0x8000) & (high & 1 == 1))
    return (high + up).astype(np.uint16)


def from_bf16_bits(h):
    return (h.astype(np.uint32) << 16).view(f32)


def int8wo(x):
    scale = np.maximum(np.abs(x).max(1) / f32(127.5), f32(2.0 ** -23))
    codes = np.clip(np.rint(x * (f32(1) / scale)[:, None]), -128, 127).astype(np.int8)
    return codes, scale, codes.astype(f32) * scale[:, None]


def int4wo(x, group):
    g = x.reshape(len(x), -1, group)
    low, high = g.min(2), g.max(2)
    exact = np.maximum((high - low) / f32(15), f32(1e-6))
    scale_bits, zero_bits = to_bf16_bits(exact), to_bf16_bits(low + f32(8) * exact)
    scale, zero = from_bf16_bits(scale_bits), from_bf16_bits(zero_bits)
    bottom = zero - f32(8) * scale
    q = np.clip(np.rint((g - bottom[..., None]) / scale[..., None]), 0, 15).astype(np.uint8)
    w = (q.astype(f32) - f32(8)) * scale[..., None] + zero[..., None]
    flat = q.reshape(len(x), -1)
    return flat[:, 0::2] << 4 | flat[:, 1::2], np.stack([scale_bits, zero_bits], -1), w.reshape(x.shape)


def put(name, array, kind):
    (HERE / name).write_bytes(np.ascontiguousarray(array).astype(kind).tobytes())


def main():
    rng = np.random.default_rng(21)
    x = rng.standard_normal((ROWS, K), dtype=f32)
    x[1] = (np.arange(K) % 41 - 20) * f32(0.5)                      # halves: ties in rounding
    x[2] *= np.exp2(rng.integers(-30, 20, K)).astype(f32)           # far apart
    x[3] = 0
    x[4] = f32(3.25)                                                # no range
    x[5] *= f32(1e-9)                                               # below the smallest scale
    assert x.dtype == f32
    put("integer.source", x, "<f4")
    codes, scales, values = int8wo(x)
    put("int8wo.codes", codes, "i1"), put("int8wo.scales", scales, "<f4"), put("int8wo.dequantized", values, "<f4")
    for group in (32, 64, 128, 256):
        codes, pairs, values = int4wo(x, group)
        assert values.dtype == f32
        put(f"int4wo-{group}.codes", codes, "u1"), put(f"int4wo-{group}.scales", pairs, "<u2")
        put(f"int4wo-{group}.dequantized", values, "<f4")


if __name__ == "__main__":
    main()
