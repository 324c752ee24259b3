#!/usr/bin/env bash
# build_go.sh PACKAGE@VERSION OUT [REPLACEMENT…]: build a Go program into OUT once. Replacements as in go.mod ("A v1 => B v2"), for programs
# whose own module has some, which `go install` refuses.
set -eu
package=${1%@*} version=${1#*@} out=$(realpath -m "$2")
shift 2
test -x "$out" && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
module=$package
case $package in */cmd/*) module=${package%/cmd/*} ;; esac
cd "$folder"
{
  echo "module pursight/tests/build"
  echo "go 1.24"
  echo "require $module $version"
  for each in "$@"; do echo "replace $each"; done
} >go.mod
printf '//go:build tools\n\npackage tools\n\nimport _ "%s"\n' "$package" >tools.go
CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=mod go build -p 2 -trimpath -ldflags "-s -w ${LDFLAGS:-}" -o "$out" "$package"
