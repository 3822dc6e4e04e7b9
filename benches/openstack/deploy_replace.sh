#!/usr/bin/env bash
# The classical blue-green script: a new stack with the next number, wait until it is there and well, repoint the web front,
# delete every old stack. What it needs is in its environment, as its users have it in a file of parameters: OPENSTACK (the
# client), STACK_PREFIX, TEMPLATE, PORT, CHANGE_PROXY. Usage: deploy_replace.sh VERSION
set -euo pipefail
old=$($OPENSTACK stack list -f value -c ID -c "Stack Name" | awk -v prefix="$STACK_PREFIX" 'index($2, prefix) == 1')
last=$(awk -v prefix="$STACK_PREFIX" '{ n = substr($2, length(prefix) + 1) + 0; if (n > most) most = n } END { print most + 0 }' <<<"$old")
new=$STACK_PREFIX$((last + 1))
$OPENSTACK stack create --wait -t "$TEMPLATE" --parameter "version=$1" "$new" >/dev/null
address=$($OPENSTACK stack output show "$new" address -f value -c output_value)
until curl -sf "http://$address:$PORT/health" >/dev/null; do sleep 1; done
"$CHANGE_PROXY" "$address"
while read -r id _; do
  [ -z "$id" ] || $OPENSTACK stack delete --yes --wait "$id" >/dev/null
done <<<"$old"
