"""Debian's libraries as cc_library targets, with the flags that pkg-config tells."""

def _run(ctx, args):
    result = ctx.execute(["pkg-config"] + args)
    if result.return_code != 0:
        fail("pkg-config %s failed: %s\nRun ./dev doctor: a Debian package is missing." %
             (" ".join(args), result.stderr))
    return [word for word in result.stdout.replace("\n", " ").split(" ") if word]

def _unique(words):
    """Keeps the last of equal words: order matters to the linker, and libraries come after their users."""
    seen = {}
    kept = []
    for word in reversed(words):
        if word not in seen:
            seen[word] = True
            kept.append(word)
    return reversed(kept)

def _impl(ctx):
    rules = ['package(default_visibility = ["//visibility:public"])']
    for name, packages in ctx.attr.packages.items():
        names = packages.split(" ")
        cflags = [f for f in _run(ctx, ["--cflags"] + names) if f.startswith("-D")]
        libs = _unique(ctx.attr.prepend.get(name, []) + _run(ctx, ["--libs"] + names))
        rules.append("cc_library(name = %r, defines = %r, linkopts = %r)" % (name, [f[2:] for f in cflags], libs))
    ctx.file("BUILD.bazel", "\n".join(rules) + "\n")

pkg_config_libraries = repository_rule(
    implementation = _impl,
    attrs = {
        "packages": attr.string_dict(mandatory = True, doc = "target name -> pkg-config names, separated by spaces"),
        "prepend": attr.string_list_dict(doc = "target name -> link options to put first"),
    },
    local = True,
)
