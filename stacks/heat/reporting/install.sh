#!/bin/bash
# What a new server does once, by its cloud-init: installs, migrates, tests itself, and tells Heat. Words that end with
# an underscore are put in by reporting.yaml, as text and never as part of a command: whoever names a build is nobody who may
# run something here.
umask 077
home=${HOME:-/root}/reporting
mkdir -p "$home"

# Whatever fails is said at once, so that nobody waits for the end of a time limit.
tell() { NOTIFY_ --data-binary "{\"status\": \"$1\", \"reason\": \"$2\"}"; }
step() {
  local what=$1
  shift
  "$@" >>"$home/install.log" 2>&1 || { tell FAILURE "$what failed"; exit 1; }
}

artifact=$(cat <<'ARTIFACT'
ARTIFACT_
ARTIFACT
)
cat >"$home/VERSION" <<'VERSION'
VERSION_
VERSION
cat >"$home/local_settings.py" <<'SETTINGS'
LOCAL_SETTINGS_
SETTINGS
printf 'SECRET_KEY = "%s"\n' 'SECRET_KEY_' >>"$home/local_settings.py"
keys=$(cat <<'KEYS'
EXTRA_KEYS_
KEYS
)
login=LOGIN_

# To those that cloud-init has put there: where sshd looks for the keys of whoever logs in.
let_in() {
  local place=${HOME:-/root}
  if [ -n "$login" ]; then
    place=$(getent passwd "$login" | cut -d: -f6)
    [ -d "$place" ] || { echo "there is no user $login in this image"; return 1; }
  fi
  mkdir -p "$place/.ssh" && printf '%s\n' "$keys" >>"$place/.ssh/authorized_keys" && chmod 700 "$place/.ssh" &&
    chmod 600 "$place/.ssh/authorized_keys" && { [ -z "$login" ] || chown -R "$login:" "$place/.ssh"; }
}

fetch() {
  [ "$artifact" = none ] || { curl -fsS --retry 5 -o "$home/app.tar.gz" --url "$artifact" && tar -xzf "$home/app.tar.gz" -C "$home"; }
}
install() { [ ! -x "$home/install" ] || "$home/install"; }
migrate() { [ ! -x "$home/manage.py" ] || "$home/manage.py" migrate --noinput; }
answers() { curl -fsS --retry 50 --retry-connrefused --retry-delay 1 --max-time 5 "http://${ADDRESS:-localhost}:PORT_/health"; }

step "letting people in" let_in
step "fetching the artifact" fetch
step "installing" install
step "migrating the database" migrate
step "its own test" answers
tell SUCCESS "it answers"
