"""make.py: model files written by other programs, what they must read as, and the corpora of the fuzz targets.

    python3 make.py            writes theirs/, theirs.json and ../../fuzz/corpus/
    python3 make.py --ours     reads ours/ (written by write.lua) with the other programs: writes ours.json

Needs gguf and safetensors from PyPI, with NumPy; the versions used are in ../README.md. Seeds are fixed.
"""
import json, os, struct, sys
from pathlib import Path
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T
from safetensors import safe_open
from safetensors.numpy import save_file

here = Path(__file__).resolve().parent
theirs, ours, corpus = here / "theirs", here / "ours", here.parent.parent / "fuzz" / "corpus"
rng = np.random.default_rng(6)


def gguf_values(t):
    """A tensor of gguf's reader as numbers."""
    if t.tensor_type in (T.F32, T.F16, T.F64, T.I8, T.I16, T.I32, T.I64):
        return np.asarray(t.data).astype(np.float64)
    try:
        return gguf.quants.dequantize(np.asarray(t.data), t.tensor_type).astype(np.float64)
    except NotImplementedError:
        return None


def describe_gguf(paths):
    """What is in the parts together: tensors with shape, type, bytes, values; metadata with types."""
    tensors, meta = [], {}
    for n, path in enumerate(paths):
        r = gguf.GGUFReader(str(path))
        for t in r.tensors:
            v = gguf_values(t)
            tensors.append({
                "name": t.name, "type": t.tensor_type.name, "shape": [int(x) for x in reversed(t.shape)],
                "bytes": np.ascontiguousarray(t.data).tobytes().hex(),
                "values": None if v is None else [float(x) for x in v.reshape(-1)]})
        if n:
            continue
        for name, f in r.fields.items():
            if name.startswith("GGUF."):
                continue
            value = f.contents()
            kinds = [k.name.lower() for k in f.types]
            names = {"uint8": "u8", "int8": "i8", "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32",
                     "uint64": "u64", "int64": "i64", "float32": "f32", "float64": "f64"}
            kinds = [names.get(k, k) for k in kinds]
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
                value = str(value)
            meta[name] = {"type": ":".join(kinds), "value": value}
    return {"tensors": tensors, "metadata": meta}


def describe_safetensors(paths):
    tensors, meta = [], {}
    for n, path in enumerate(paths):
        with safe_open(str(path), framework="np") as f:
            if n == 0:
                meta = {k: {"type": "string", "value": v} for k, v in (f.metadata() or {}).items()}
            head = json.loads(path.read_bytes()[8:8 + struct.unpack("<Q", path.read_bytes()[:8])[0]])
            for name in f.keys():
                dtype = head[name]["dtype"]
                begin, end = head[name]["data_offsets"]
                start = 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
                raw = path.read_bytes()[start + begin:start + end]
                if dtype == "BF16":
                    v = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
                else:
                    v = f.get_tensor(name)
                tensors.append({"name": name, "type": dtype, "shape": head[name]["shape"], "bytes": raw.hex(),
                                "values": [float(x) for x in np.asarray(v).astype(np.float64).reshape(-1)]})
    return {"tensors": tensors, "metadata": meta}


def add_all(w, quantized=True):
    """Every type of metadata and of tensor that gguf can write."""
    w.add_uint8("t.u8", 200); w.add_int8("t.i8", -100); w.add_uint16("t.u16", 60000); w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000); w.add_int32("t.i32", -2000000000); w.add_uint64("t.u64", 2**64 - 1)
    w.add_int64("t.i64", -2**63); w.add_float32("t.f32", 0.1); w.add_float64("t.f64", 0.1); w.add_bool("t.bool", True)
    w.add_string("t.string", "naïve \u2581 \U0001f600"); w.add_string("t.empty", "")
    w.add_array("t.strings", ["", "a", "\u00e9"]); w.add_array("t.ints", [1, -2, 3])
    w.add_array("t.floats", [0.5, -1.25])
    w.add_array("t.bools", [True, False])
    w.add_uint32("llama.block_count", 1)
    w.add_float32("llama.rope.freq_base", 10000.0)
    x = rng.standard_normal((2, 256)).astype(np.float32)
    w.add_tensor("f32", x)
    w.add_tensor("f16", x.astype(np.float16))
    w.add_tensor("f64", x.astype(np.float64)[:1, :3])
    for name in ("i8", "i16", "i32", "i64"):
        w.add_tensor(name, np.arange(-3, 4, dtype=getattr(np, "int" + name[1:])))
    w.add_tensor("bf16", gguf.quants.quantize(x, T.BF16), raw_dtype=T.BF16)
    w.add_tensor("rank4", np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4))
    w.add_tensor("one", np.ones(1, dtype=np.float32))
    if not quantized:
        return
    for t in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.MXFP4):
        w.add_tensor(t.name.lower(), gguf.quants.quantize(x, t), raw_dtype=t)
    experts = rng.standard_normal((3, 2, 32)).astype(np.float32)
    w.add_tensor("experts", gguf.quants.quantize(experts, T.Q8_0), raw_dtype=T.Q8_0)
    # random blocks with scales that are finite
    for t in (T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_NL, T.IQ4_XS):
        block, size = gguf.GGML_QUANT_SIZES[t]
        raw = rng.integers(0, 256, (1, 256 // block, size), dtype=np.uint8)
        for at in {T.Q2_K: (80, 82), T.Q3_K: (108,), T.Q6_K: (208,), T.Q4_K: (0, 2), T.Q5_K: (0, 2)}.get(t, (0,)):
            raw[..., at + 1] = 0x2c
        w.add_tensor(t.name.lower(), raw.reshape(1, -1), raw_dtype=t)


def write(path, alignment=None, **more):
    w = gguf.GGUFWriter(str(path), "llama", **more)
    if alignment:
        w.add_custom_alignment(alignment)
    return w


def close(w):
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def make_theirs():
    theirs.mkdir(exist_ok=True)
    for f in theirs.iterdir():
        f.unlink()
    w = write(theirs / "all.gguf"); add_all(w); close(w)
    w = write(theirs / "aligned.gguf", 128); add_all(w, False); close(w)
    w = write(theirs / "empty.gguf"); close(w)
    v3 = (theirs / "all.gguf").read_bytes()
    (theirs / "v2.gguf").write_bytes(v3[:4] + struct.pack("<I", 2) + v3[8:])      # the layout is the same
    w = write(theirs / "split.gguf", split_max_tensors=4); add_all(w, False); close(w)
    x = rng.standard_normal((3, 5)).astype(np.float32)
    tensors = {"f32": x, "f16": x.astype(np.float16), "f64": x.astype(np.float64), "scalar": np.array(7, np.int64),
               "none": np.zeros((0, 4), np.float32), "bool": np.array([True, False, True]),
               "u8": np.arange(5, dtype=np.uint8), "i8": np.arange(-2, 3, dtype=np.int8),
               "i32": np.arange(4, dtype=np.int32), "u16": np.arange(4, dtype=np.uint16),
               "i16": np.arange(4, dtype=np.int16), "u32": np.arange(3, dtype=np.uint32),
               "u64": np.arange(3, dtype=np.uint64),
               "\u00e9\"\\": np.ones(1, np.float32)}
    save_file(tensors, str(theirs / "all.safetensors"), {"format": "pt", "note": "naïve \"\\\n"})
    save_file({}, str(theirs / "empty.safetensors"))
    # not aligned: data begin at an odd place
    head = json.dumps({"w": {"dtype": "F32", "shape": [3], "data_offsets": [1, 13]},
                       "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
                       "b": {"dtype": "BF16", "shape": [2], "data_offsets": [13, 17]}}).encode()
    head += b" " * (7 - len(head) % 8)
    (theirs / "odd.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"\x07"
                                             + np.float32([1, -2, 0.5]).tobytes()
                                             + b"\x80\x3f\x00\xc0")
    shards = {"model-00001-of-00002.safetensors": ["a", "b"], "model-00002-of-00002.safetensors": ["c"]}
    for file, names in shards.items():
        save_file({n: rng.standard_normal((2, 3)).astype(np.float32) for n in names}, str(theirs / file),
                  {"format": "pt"})
    (theirs / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": 72}, "weight_map": {n: f for f, names in shards.items() for n in names}}, indent=2))
    return {
        "all.gguf": describe_gguf([theirs / "all.gguf"]), "v2.gguf": describe_gguf([theirs / "v2.gguf"]),
        "aligned.gguf": describe_gguf([theirs / "aligned.gguf"]), "empty.gguf": describe_gguf([theirs / "empty.gguf"]),
        "split-00001-of-00003.gguf": describe_gguf(sorted(theirs.glob("split-*.gguf"))),
        "all.safetensors": describe_safetensors([theirs / "all.safetensors"]),
        "empty.safetensors": describe_safetensors([theirs / "empty.safetensors"]),
        "odd.safetensors": describe_safetensors([theirs / "odd.safetensors"]),
        "model.safetensors.index.json": describe_safetensors([theirs / f for f in sorted(shards)]),
    }


def small_gguf(path, kind):
    w = write(path)
    w.add_uint32("a.u32", 1)
    w.add_array("a.s", ["x", "yy"])
    if kind > 0:
        w.add_array("a.f", [1.0, 2.0])
        w.add_tensor("t", np.arange(8, dtype=np.float32).reshape(2, 4))
        w.add_tensor("q", np.zeros((1, 34), np.uint8), raw_dtype=T.Q8_0)
    close(w)


def tokenizer_gguf(path, model, pre):
    w = write(path)
    tokens = (["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in (10, 0xc3, 0xa9)]
              + ["A", "b", "Ab", "\u2581", "\u2581A", "\u0120", "\u010a", "x"])
    w.add_tokenizer_model(model)
    if pre:
        w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_scores([-float(i) for i in range(len(tokens))])
    w.add_token_types([2, 3, 3] + [6] * 3 + [1] * (len(tokens) - 4) + [4])
    w.add_token_merges(["A b"])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(True)
    close(w)


def make_corpora():
    def put(target, name, data):
        (corpus / target).mkdir(parents=True, exist_ok=True)
        (corpus / target / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    for i in range(2):
        small_gguf(here / "tmp.gguf", i)
        put("gguf", f"small-{i}", (here / "tmp.gguf").read_bytes())
    (here / "tmp.gguf").unlink()
    for model, pre in (("llama", None), ("gpt2", "gpt-2"), ("t5", None)):
        tokenizer_gguf(here / "tmp.gguf", model, pre)
        put("gguf", f"tokenizer-{model}", (here / "tmp.gguf").read_bytes())
    (here / "tmp.gguf").unlink()
    for name in ("empty.gguf", "all.gguf"):
        put("gguf", name, (theirs / name).read_bytes()[:24000])
    put("gguf", "split", (theirs / "split-00002-of-00003.gguf").read_bytes())
    for name in ("all", "empty", "odd"):
        put("safetensors", name, (theirs / f"{name}.safetensors").read_bytes())
    for name, value, n in (("quantized", "q8_0 3 64", 204), ("quantized_planes", "int4wo-32 2 2 64", 160)):
        head = json.dumps({"__metadata__": {"luabench.quantized:a": value},
                           "a": {"dtype": "U8", "shape": [n], "data_offsets": [0, n]}}, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 8)
        put("safetensors", name, struct.pack("<Q", len(head)) + head + bytes(n))
    put("index", "two", (theirs / "model.safetensors.index.json").read_bytes())
    put("index", "escape", '{"weight_map":{"a\\u00e9":"model-1.safetensors","b":"x"},"metadata":{"total_size":1e3}}')
    put("json", "kinds", '{"a":[1,-2.5e-3,true,false,null,"\\u00e9\\ud83d\\ude00\\n",{}],"b":{"c":[[[]]]}, "d" : '
        '18446744073709551615}')
    put("json", "config", json.dumps({"architectures": ["LlamaForCausalLM"], "rope_scaling": {"factor": 8.0},
                                      "eos": [1, 2]}))


if __name__ == "__main__":
    if "--ours" in sys.argv:
        out = {"all.gguf": describe_gguf([ours / "all.gguf"]), "v2.gguf": describe_gguf([ours / "v2.gguf"]),
               "split-00001-of-00004.gguf": describe_gguf(sorted(ours.glob("split-*.gguf"))),
               "all.safetensors": describe_safetensors([ours / "all.safetensors"]),
               "shards.safetensors.index.json": describe_safetensors(sorted(ours.glob("shards-*.safetensors")))}
        (here / "ours.json").write_text(json.dumps(out, separators=(",", ":"), ensure_ascii=False) + "\n")
    else:
        (here / "theirs.json").write_text(json.dumps(make_theirs(), separators=(",", ":"), ensure_ascii=False) + "\n")
        make_corpora()
