#!/usr/bin/env bash
# Checks every shell script of the repository, those without an ending too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts() {
  git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run
}

mapfile -t files < <(scripts)
echo "${#files[@]} scripts"
shellcheck -x "${files[@]}"
