#!/usr/bin/env bash
# Programs that the extended tests need: built or fetched once into .venv/extended. What cannot be had fails its tests there.
set -u
cd "$(dirname "$0")/.."
mkdir -p .venv/extended

fake_gcs_server() {
  [ ! -x .venv/extended/fake-gcs-server ] || return
  GOBIN="$PWD/.venv/extended" go install github.com/fsouza/fake-gcs-server@v1.56.1 || echo "no fake-gcs-server: its test will fail"
}

keycloak() {
  .venv/bin/python -m tests.keycloak || echo "no Keycloak: its tests will fail"
}

keycloak &
fake_gcs_server
wait
exit 0
