"""Debian packages of what Bazel built, made by debhelper from packaging/debian."""

def _impl(ctx):
    packages = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add(packages.path)
    for file in ctx.files.srcs:
        # Where it would be if it had been built in the source tree, which is how debian/*.install names it.
        arguments.add_all([file.path, file.short_path])
    ctx.actions.run(
        executable = ctx.file._build,
        arguments = [arguments],
        inputs = ctx.files.srcs,
        outputs = [packages],
        use_default_shell_env = True,
        mnemonic = "DebianPackages",
        progress_message = "Making Debian packages",
    )
    return [DefaultInfo(files = depset([packages]), runfiles = ctx.runfiles([packages]))]

debian_packages = rule(
    implementation = _impl,
    doc = "A folder with the binary packages of packaging/debian/control, named as Debian names them.",
    attrs = {
        "srcs": attr.label_list(allow_files = True, doc = "packaging/debian, and all that its .install files name"),
        "_build": attr.label(allow_single_file = True, default = "//packaging:build_packages.py"),
    },
)
