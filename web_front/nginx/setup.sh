#!/bin/sh
# Makes a site of nginx that Pointsman can repoint. Run once on nginx's host, as root:
#
#   sh setup.sh NAME SERVER_NAME self-signed
#   sh setup.sh NAME SERVER_NAME signed CERTIFICATE KEY
#
# It writes NAME's site, the first include, and the folder whose files decide who gets the traffic; it overwrites nothing
# that is there, and neither starts nor reloads nginx. What differs from Debian's nginx is said in the environment:
#
#   OWNER      who Pointsman signs in as, and owns include and folder   (deploy)
#   NGINX      nginx's folder                                           (/etc/nginx)
#   SITES      where the site goes                                      ($NGINX/conf.d)
#   STATE      where the folder goes                                    (/var/lib/pointsman)
#   READ_BACK  where nginx says what it serves, `front.read_back`; the  (127.0.0.1:8099)
#              port after it must be free too
#   HTTP HTTPS where users connect                                      (80, 443)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 64; }
[ $# -ge 3 ] || usage
name=$1 server_name=$2 mode=$3
: "${OWNER:=deploy}" "${NGINX:=/etc/nginx}" "${STATE:=/var/lib/pointsman}" "${READ_BACK:=127.0.0.1:8099}"
: "${SITES:=$NGINX/conf.d}" "${HTTP:=80}" "${HTTPS:=443}"
case $name in '' | *[!a-z0-9-]*) echo "$name is no name: use a-z, 0-9 and -" >&2 && exit 64 ;; esac
include=$NGINX/pointsman/$name.conf folder=$STATE/$name
case $mode in
self-signed)
    [ $# -eq 3 ] || usage
    certificate=$NGINX/pointsman-tls/$name.pem key=$NGINX/pointsman-tls/$name.key hsts='# '
    ;;
signed)
    [ $# -eq 5 ] || usage
    certificate=$4 key=$5 hsts=
    [ -r "$certificate" ] || { echo "$certificate can not be read" >&2 && exit 66; }
    [ -r "$key" ] || { echo "$key can not be read" >&2 && exit 66; }
    ;;
*) usage ;;
esac

umask 022
mkdir -p "$NGINX/pointsman" "$NGINX/pointsman-tls" "$SITES" "$folder"
chmod 700 "$NGINX/pointsman-tls"
if [ "$mode" = self-signed ] && [ ! -e "$key" ]; then
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 \
        -subj "/CN=$server_name" -addext "subjectAltName=DNS:$server_name" -addext basicConstraints=critical,CA:FALSE \
        -keyout "$key" -out "$certificate" 2>/dev/null)
fi

under=$(printf %s "$name" | tr -c a-z0-9 _)
next=${READ_BACK%:*}:$((${READ_BACK##*:} + 1))
port=${HTTPS##*:}
if [ "$port" = 443 ]; then port=; else port=:$port; fi
fill() {
    sed -e "s|@INCLUDE@|$include|g" -e "s|@FOLDER@|$folder|g" -e "s|@NAME@|$under|g" -e "s|@READ_BACK@|$READ_BACK|g" -e "s|@NEXT@|$next|g" \
        -e "s|@SERVER_NAME@|$server_name|g" -e "s|@HTTP@|$HTTP|g" -e "s|@HTTPS@|$HTTPS|g" -e "s|@HTTPS_PORT@|$port|g" \
        -e "s|@CERTIFICATE@|$certificate|g" -e "s|@KEY@|$key|g" -e "s|@HSTS@|$hsts|g" \
        -e 's|@ABOUT@|no generation was in force when it was written|' -e 's|@SLOTS@|0 - -|g' -e '/^@ANSWERS@}/s/@ANSWERS@//' \
        -e 's|@BLUE_KEY@|empty|g' -e 's|@GREEN_KEY@|empty|g' -e 's|^@BLUE@|    server 127.0.0.1:1 down;\n|' \
        -e 's|^@GREEN@|    server 127.0.0.1:1 down;\n|' "$1"
}
# What is there stays: it may be live.
put() {
    if [ -e "$2" ]; then echo "$2 is there and stays as it is"; else fill "$1" >"$2.new" && mv "$2.new" "$2"; fi
}
put "$here/slots.conf" "$include"
put "$here/site.conf" "$SITES/pointsman-$name.conf"
all=$SITES/pointsman.conf
grep -qsF "include $NGINX/pointsman/*.conf;" "$all" || echo "include $NGINX/pointsman/*.conf;" >>"$all"
chown "$OWNER" "$NGINX/pointsman" "$include" "$folder"
chmod 755 "$folder" "$NGINX/pointsman"
cat <<END
Done. Look at $SITES/pointsman-$name.conf, then: nginx -t && nginx -s reload
In the pipeline file of Pointsman:
  front = { driver = "nginx", include = "$include", folder = "$folder", read_back = "$READ_BACK" }
END
