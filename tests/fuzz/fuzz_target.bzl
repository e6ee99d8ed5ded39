"""Fuzz targets: libFuzzer finds inputs (./dev fuzz), and every test run repeats those that were kept."""

def fuzz_target(name, deps):
    """One target of LLVMFuzzerTestOneInput, from NAME_fuzz.cc, with its inputs in corpus/NAME.

    Args:
      name: what is fuzzed.
      deps: libraries it needs.
    """
    native.cc_binary(
        name = name + "_fuzz",
        srcs = [name + "_fuzz.cc", "input.h"],
        linkopts = ["-fsanitize=fuzzer"],
        # Needs clang: ./dev fuzz.
        tags = ["manual"],
        deps = deps,
    )
    corpus = native.glob(["corpus/" + name + "/*"])
    native.cc_test(
        name = name + "_corpus_test",
        size = "small",
        srcs = [name + "_fuzz.cc", "input.h", "replay.cc"],
        args = ["$(rootpaths :" + name + "_corpus)"],
        data = [":" + name + "_corpus"],
        deps = deps,
    )
    native.filegroup(
        name = name + "_corpus",
        srcs = corpus,
    )
