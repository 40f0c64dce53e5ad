#!/usr/bin/env bash
# Regenerates delg_tf/protos/*_pb2.py from protos/*.proto.
#
# Only those who change a .proto file need this. The generator is an old one on
# purpose: its code loads on every protobuf runtime from 3.20 to 7.x, and it
# lives in a virtual environment of its own because it needs protobuf 4.
#
#   tools/generate_protos.sh [OUTPUT_DIRECTORY]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
output=${1:-$root}
venv=${PROTO_VENV:-$root/.venv/protos}
if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
fi
"$venv/bin/python" -c 'import grpc_tools' 2>/dev/null ||
  "$venv/bin/python" -m pip install --quiet 'grpcio-tools==1.62.3' 'setuptools<81'
mkdir -p "$output"
cd "$root/protos"
"$venv/bin/python" -m grpc_tools.protoc \
  --proto_path=delg_tf/protos=. --python_out="$output" \
  $(printf 'delg_tf/protos/%s ' *.proto)
