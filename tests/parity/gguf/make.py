"""make.py: writes the data that test_quantizers.c compares our GGUF formats with, using the independent gguf package.

    pip install gguf==0.19.0 && python3 tests/parity/gguf/make.py

Little-endian files without headers, beside this script:
  <type>.blocks     blocks of random bytes; only their f16 scales are kept finite (subnormals included)
  <type>.values     gguf's dequantization of them, f32
  <type>.source     f32 values, for the types that gguf can quantize
  <type>.quantized  gguf's quantization of those
"""
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

HERE = pathlib.Path(__file__).parent
BLOCKS = 16          # of 256 elements
# type: elements and bytes of a block, where its f16 scales lie
LAYOUT = {
    "q4_0": (32, 18, [0]),
    "q8_0": (32, 34, [0]),
    "q2_k": (256, 84, [80, 82]),
    "q3_k": (256, 110, [108]),
    "q4_k": (256, 144, [0, 2]),
    "q5_k": (256, 176, [0, 2]),
    "q6_k": (256, 210, [208]),
    "q4_1": (32, 20, [0, 2]),
    "q5_0": (32, 22, [0]),
    "q5_1": (32, 24, [0, 2]),
    "iq4_nl": (32, 18, [0]),
    "iq4_xs": (256, 136, [0]),
    "mxfp4": (32, 17, []),
    "nvfp4": (64, 36, []),
}
QUANTIZED = ["q4_0", "q8_0", "q4_1", "q5_0", "q5_1"]
# type: how many bytes of 8-bit float scales stand at the head of a block, and one more than the largest
SMALL_SCALES = {"mxfp4": (1, 255), "nvfp4": (4, 127)}


def random_blocks(rng, count, size, scales):
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in scales:
        exponent = rng.integers(0, 31, count, dtype=np.uint16)
        exponent[0] = 0
        bits = rng.integers(0, 1 << 16, count, dtype=np.uint16) & 0x83FF | exponent << 10
        blocks[:, at:at + 2] = bits.astype("<u2")[:, None].view(np.uint8)
    return blocks


def source_rows(rng, elements, total):
    x = rng.standard_normal(total, dtype=np.float32).reshape(-1, elements)
    x *= np.exp2(rng.integers(-12, 8, (len(x), 1))).astype(np.float32)
    x[0] = 0                                    # no scale at all
    x[1] = np.arange(elements) - elements // 2  # integers: ties in rounding
    x[2, 3:5] = 4 * np.abs(x[2]).max(), -4 * np.abs(x[2]).max()  # two extremes of equal size
    return x


def main():
    rng = np.random.default_rng(20)
    for name, (elements, size, scales) in LAYOUT.items():
        kind = T[name.upper()]
        blocks = random_blocks(rng, BLOCKS * 256 // elements, size, scales)
        if name in SMALL_SCALES:                # no NaN; gguf has 0 for e4m3's
            blocks[:, :SMALL_SCALES[name][0]] %= SMALL_SCALES[name][1]
        values = quants.dequantize(blocks.reshape(-1), kind).astype("<f4")
        (HERE / f"{name}.blocks").write_bytes(blocks.tobytes())
        (HERE / f"{name}.values").write_bytes(values.tobytes())
        if name in QUANTIZED:
            source = source_rows(rng, elements, BLOCKS * 256)
            (HERE / f"{name}.source").write_bytes(source.astype("<f4").tobytes())
            (HERE / f"{name}.quantized").write_bytes(quants.quantize(source, kind).tobytes())


if __name__ == "__main__":
    main()
