#!/usr/bin/env bash
# Points nginx at an address, as it is usually done: the include is rewritten and nginx reloaded. NGINX_COMMAND and INCLUDE
# are in its environment. Usage: change_proxy.sh IP
set -euo pipefail
[[ $1 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || { echo "$1 is no IPv4 address" >&2 && exit 64; }
printf 'proxy_pass http://%s:%s;\n' "$1" "$PORT" >"$INCLUDE.new"
mv "$INCLUDE.new" "$INCLUDE"
$NGINX_COMMAND -s reload
