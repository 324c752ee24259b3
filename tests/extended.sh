#!/usr/bin/env bash
# Programs that the extended tests need: built or fetched once into .venv/extended. What cannot be had fails its tests there.
set -u
cd "$(dirname "$0")/.."
mkdir -p .venv/extended

fake_gcs_server() {
  [ ! -x .venv/extended/fake-gcs-server ] || return
  GOBIN="$PWD/.venv/extended" go install github.com/fsouza/fake-gcs-server@v1.56.1 || echo "no fake-gcs-server: its test will fail"
}

tofu() {
  LDFLAGS="-X github.com/opentofu/opentofu/version.dev=no" tests/build_go.sh github.com/opentofu/opentofu/cmd/tofu@v1.10.10 .venv/extended/tofu \
    "github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828" ||
    echo "no OpenTofu: its tests will fail"
}

keycloak() {
  .venv/bin/python -m tests.keycloak || echo "no Keycloak: its tests will fail"
}

keycloak &
fake_gcs_server
tofu
wait
exit 0
