#!/usr/bin/env bash
# Installs OpenStack's own command-line clients for `cargo bench --bench openstack`, in a folder of their own below target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
peer=target/peers/openstackclient
wanted=benches/openstack/requirements.txt
if ! cmp -s "$wanted" "$peer/requirements.txt"; then
  python3 -m venv --clear "$peer"
  "$peer/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
  cp "$wanted" "$peer/"
fi
"$peer/bin/openstack" --version
