"""Tests in Python that drive the built programs."""

def python_test(name, src, data = [], size = "large", tags = [], env = {}):
    """Runs a Python file with the system's python3 from the runfiles root.

    Args:
      name: the test's name.
      src: the file, in this package.
      data: what it needs at run time.
      size: Bazel's test size.
      tags: Bazel's test tags.
      env: environment variables.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tests/e2e:run_python.sh"],
        args = ["$(location %s)" % src],
        data = [src] + data,
        env = env,
        tags = tags,
    )
