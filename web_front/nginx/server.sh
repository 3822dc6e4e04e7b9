#!/bin/bash
# What the server of web_front/heat.yaml does once, by its cloud-init: installs nginx, makes the site and the user by whom
# Pointsman signs in, tests itself, and tells Heat. Words between % signs are put in by heat.yaml, as text and never as
# part of a command. ROOT stands before all paths, for a trial in a folder.
set -u
umask 022
root=${ROOT:-}
nginx=$root/etc/nginx state=$root/var/lib/pointsman
site=%site% domain=%domain% login=%login%
here=$root/opt/pointsman log=$root/var/log/pointsman-front.log
mkdir -p "$here" "${log%/*}" "$root/etc/sudoers.d" "$state"

# Whatever fails is said at once, so that nobody waits for the end of a time limit.
tell() { %notify% --data-binary "{\"status\": \"$1\", \"reason\": \"$2\", \"id\": \"host_key\", \"data\": \"${3:-none}\"}"; }
step() {
  local what=$1
  shift
  "$@" >>"$log" 2>&1 || { tell FAILURE "$what failed"; exit 1; }
}

cat >"$here/setup.sh" <<'END OF SETUP'
%setup.sh%
END OF SETUP
cat >"$here/site.conf" <<'END OF SITE'
%site.conf%
END OF SITE
cat >"$here/slots.conf" <<'END OF SLOTS'
%slots.conf%
END OF SLOTS
login_key=$(cat <<'END OF KEY'
%login key%
END OF KEY
)
certificate=$(cat <<'END OF CERTIFICATE'
%certificate%
END OF CERTIFICATE
)
certificate_key=$(cat <<'END OF CERTIFICATE KEY'
%certificate key%
END OF CERTIFICATE KEY
)

packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=300 update -q &&
    apt-get -o DPkg::Lock::Timeout=300 install -qy --no-install-recommends nginx openssl sudo curl
}

# Who Pointsman is here: may test and reload nginx and owns what setup.sh makes, and nothing else.
user() {
  id "$login" || useradd --create-home --home-dir "/home/$login" --shell /bin/sh "$login" || return
  local home=$root/home/$login rule=$root/etc/sudoers.d/pointsman
  mkdir -p "$home/.ssh" && printf '%s\n' "$login_key" >"$home/.ssh/authorized_keys" &&
    chmod 700 "$home/.ssh" && chmod 600 "$home/.ssh/authorized_keys" && chown -R "$login:" "$home/.ssh" &&
    printf '%s ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload\n' "$login" >"$rule" &&
    chmod 440 "$rule" && visudo -cf "$rule"
}

site() {
  # Not exported: to nginx itself, NGINX means something else.
  local owned=("OWNER=$login" "NGINX=$nginx" "STATE=$state")
  if [ -z "$certificate" ]; then
    env "${owned[@]}" sh "$here/setup.sh" "$site" "$domain" self-signed || return
  else
    local tls=$nginx/pointsman-tls
    mkdir -p "$tls" && printf '%s\n' "$certificate" >"$tls/$site.pem" &&
      (umask 077 && printf '%s\n' "$certificate_key" >"$tls/$site.key") &&
      env "${owned[@]}" sh "$here/setup.sh" "$site" "$domain" signed "$tls/$site.pem" "$tls/$site.key" || return
  fi
  # Debian's own first page would answer whoever writes the address instead of the name.
  rm -f "$nginx/sites-enabled/default"
  nginx -t && systemctl enable nginx && systemctl reload-or-restart nginx
}

# Anything is an answer: no stack is there yet.
answers() {
  for _ in {1..30}; do
    curl -ksS --max-time 5 "https://${HTTPS:-localhost}/" >/dev/null && return
    sleep 1
  done
  return 1
}

step "installing nginx" packages
step "making the user" user
step "making the site" site
step "its own test" answers
read -r kind key _ <"$root/etc/ssh/ssh_host_ed25519_key.pub" || { tell FAILURE "there is no host key"; exit 1; }
tell SUCCESS "it answers" "$kind $key"
