"""Protobuf and gRPC code from Debian's protoc and grpc_cpp_plugin."""

def prov_proto_library(name, src, deps = [], grpc = False):
    """A cc_library with the messages of one .proto file, and NAME_grpc with its service.

    Messages and services are apart because gRPC's headers are slow to compile, and most code needs messages only.

    Args:
      name: the library's name.
      src: the .proto file, below this package.
      deps: libraries of the files that src imports.
      grpc: whether src has a service.
    """
    stem = src[:-len(".proto")]
    all_protos = native.glob(["**/*.proto"])
    native.genrule(
        name = name + "_protoc",
        srcs = all_protos,
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = "protoc -Iproto --cpp_out=$(RULEDIR) proto/" + src,
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-w"],
        includes = ["."],
        visibility = ["//visibility:public"],
        deps = deps + ["@system//:protobuf"],
    )
    if not grpc:
        return
    native.genrule(
        name = name + "_grpc_protoc",
        srcs = all_protos,
        outs = [stem + ".grpc.pb.h", stem + ".grpc.pb.cc"],
        cmd = "protoc -Iproto --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR) proto/" + src,
    )
    native.cc_library(
        name = name + "_grpc",
        srcs = [stem + ".grpc.pb.cc"],
        hdrs = [stem + ".grpc.pb.h"],
        copts = ["-w"],
        includes = ["."],
        visibility = ["//visibility:public"],
        deps = [":" + name] + deps + ["@system//:grpc"],
    )
