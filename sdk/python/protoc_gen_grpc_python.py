"""A protoc plugin that makes the gRPC client of Python.

grpcio-tools has that generator inside its own protoc and not as a plugin that buf could call. This hands the
request on: the descriptors go to that protoc as a file, what it wrote goes back as the answer.
"""

import pathlib
import sys
import tempfile

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def main() -> int:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        out = work / "out"
        out.mkdir()
        descriptors = work / "descriptors.bin"
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        status = protoc.main(
            ["protoc", f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}", *request.file_to_generate]
        )
        if status != 0:
            response.error = f"protoc ended with {status}"
        for path in sorted(out.rglob("*_pb2_grpc.py")):
            name = path.relative_to(out).as_posix()
            # A file without a service has nothing to say.
            if "class " in (text := path.read_text()):
                response.file.add(name=name, content=text)
    sys.stdout.buffer.write(response.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main())
