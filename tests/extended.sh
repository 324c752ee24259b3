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

# A real API server, on Debian's etcd; its own module takes its parts from beside it.
kube_apiserver() {
  [ "$(id -u)" != 0 ] || command -v etcd >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server >/dev/null
  [ ! -x .venv/extended/kube-apiserver ] || return
  parts="api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator component-base
    component-helpers controller-manager cri-api cri-client csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms
    kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission"
  replacements=()
  for each in $parts; do replacements+=("k8s.io/$each => k8s.io/$each v0.34.4"); done
  tests/build_go.sh k8s.io/kubernetes/cmd/kube-apiserver@v1.34.4 .venv/extended/kube-apiserver "${replacements[@]}" ||
    echo "no kube-apiserver: its tests will fail"
}

keycloak() {
  .venv/bin/python -m tests.keycloak || echo "no Keycloak: its tests will fail"
}

keycloak &
fake_gcs_server
tofu
kube_apiserver
wait
exit 0
