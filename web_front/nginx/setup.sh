#!/bin/sh
# Makes a site of nginx that Pointsman can repoint. Run once on nginx's host, as root:
#
#   sh setup.sh NAME SERVER_NAME self-signed
#   sh setup.sh NAME SERVER_NAME signed CERTIFICATE KEY
#
# It writes NAME's site, the first include, and the folder whose files decide who gets the traffic; it overwrites nothing
# that is there, and neither starts nor reloads nginx. What differs from Debian's nginx is said in the environment:
#
#   OWNER      who Pointsman signs in as, and owns include and folder;  (deploy)
#              one for all sites of an nginx
#   NGINX      nginx's folder                                           (/etc/nginx)
#   COMMAND    nginx itself                                             (nginx -c $NGINX/nginx.conf)
#   SITES      where the site goes                                      ($NGINX/conf.d)
#   STATE      where the folder goes                                    (/var/lib/pointsman)
#   READ_BACK  where nginx says what it serves, `front.read_back`; the  (127.0.0.1:8099)
#              port after it must be free too
#   HTTP HTTPS where users connect                                      (80, 443)
#   STICKY     how a user stays with a version, `front.sticky`: cookie  (address)
#              has the site tell browsers theirs; or address, none
#   TAKE_OVER  yes: although this nginx serves SERVER_NAME already      (no)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n -e '/^set -eu/q' -e '2,$s/^# \{0,1\}//p' "$0" >&2; exit 64; }
[ $# -ge 3 ] || usage
name=$1 server_name=$2 mode=$3
: "${OWNER:=deploy}" "${NGINX:=/etc/nginx}" "${STATE:=/var/lib/pointsman}" "${READ_BACK:=127.0.0.1:8099}"
: "${SITES:=$NGINX/conf.d}" "${HTTP:=80}" "${HTTPS:=443}" "${TAKE_OVER:=no}"
PATH=$PATH:/usr/sbin:/usr/local/sbin
case ${STICKY:=address} in cookie | address | none) ;; *) echo "STICKY=$STICKY is not cookie, address or none" >&2 && exit 64 ;; esac
: "${COMMAND:=nginx -c $NGINX/nginx.conf}"
case $name in '' | *[!a-z0-9-]*) echo "$name cannot be a site's name: use a-z, 0-9 and -" >&2 && exit 64 ;; esac
include=$NGINX/pointsman/$name.conf folder=$STATE/$name
case $mode in
self-signed)
    [ $# -eq 3 ] || usage
    certificate=$NGINX/pointsman-tls/$name.pem key=$NGINX/pointsman-tls/$name.key hsts='# '
    ;;
signed)
    [ $# -eq 5 ] || usage
    certificate=$4 key=$5 hsts=
    [ -r "$certificate" ] || { echo "$certificate cannot be read" >&2 && exit 66; }
    [ -r "$key" ] || { echo "$key cannot be read" >&2 && exit 66; }
    ;;
*) usage ;;
esac

# Nothing is written before all of this is known to be right.
stop() { printf '%s\n' "$@" "Nothing was changed." >&2; exit 65; }
case $OWNER in
*[!0-9]*) owner=$(id -u "$OWNER" 2>/dev/null) || stop "there is no user $OWNER on this host: make it, or say OWNER=..." ;;
*) owner=$OWNER ;;
esac
# Every site's include is in this folder, and each reload says to the users of all sites that connections end: so all of
# them have one owner.
for place in "$NGINX/pointsman" "$folder"; do
    [ ! -d "$place" ] || [ "$(stat -c %u "$place")" = "$owner" ] ||
        stop "$place belongs to $(stat -c %U "$place"), by whom Pointsman signs in for a site that is there." \
            "Use OWNER=$(stat -c %U "$place") for this site too."
done
# What there is of nginx that answers where this site would, one line each: `name` and by which name; `regex` and the
# expression; `rest` and what the server for all other names does: its folders, or `passes`.
served() {
    awk -v wanted="$server_name" -v ours="$HTTP $HTTPS" -v own="$SITES/pointsman-$name.conf" -v host="$(uname -n)" '
    function port(listen) { sub(/.*:/, "", listen); return listen ~ /^[0-9]+$/ ? listen : 80 }
    function address(listen) {
        if (listen ~ /^[0-9]+$/) return "*"
        sub(/:[0-9]+$/, "", listen)
        return listen ~ /^(\*|0\.0\.0\.0|\[::\])$/ ? "*" : listen
    }
    function meets(one,    j, m, b) {
        m = split(ours, b, " ")
        for (j = 1; j <= m; j++) {
            if (one ~ /^unix:/ || port(one) != port(b[j])) continue
            if (address(one) == "*" || address(b[j]) == "*" || address(one) == address(b[j])) return 1
        }
        return 0
    }
    function answers(called,    all) {
        called = tolower(called); all = tolower(wanted)
        if (called == "$hostname") called = tolower(host)
        if (called == all || called == "." all) return 1
        if (called ~ /\.\*$/) return index(all, substr(called, 1, length(called) - 1)) == 1
        sub(/^\*\./, ".", called)
        if (substr(called, 1, 1) != ".") return 0
        return substr(all, length(all) - length(called) + 1) == called
    }
    # The server for every name that no other has: the one that says so, else the first one there. The first one has names of
    # its own, mostly, and serves others by accident.
    function rest_of(one, says,    place) {
        place = address(one) ":" port(one)
        if (says || !(place in first)) {
            if (!says) first[place] = 1
            if (says || nameless) all_others[place] = file ": listen " one (says ? " default_server" : "") "\t" does
            if (says) first[place] = 1
        }
    }
    function ended(    i, met) {
        if (file == own) return
        if (!listening) { listening = 1; listens[1] = "80"; says[1] = 0 }
        nameless = 1
        for (i = 1; i <= named; i++) if (names[i] ~ /\./) nameless = 0
        for (i = 1; i <= listening; i++) if (meets(listens[i])) { met = 1; rest_of(listens[i], says[i]) }
        for (i = 1; met && i <= named; i++) {
            if (names[i] ~ /^~/) print "regex\t" file ": server_name " names[i] "\t" substr(names[i], 2)
            else if (answers(names[i])) print "name\t" file ": server_name " names[i]
        }
    }
    function mark(w,    i) {
        if (w == "{") {
            depth++
            block[depth] = count ? words[1] : ""
            if (block[depth] == "server" && count == 1 && !at && !elsewhere()) {
                at = depth; listening = 0; named = 0; does = ""
            }
        } else if (w == "}") {
            if (at && depth == at) { ended(); at = 0 }
            if (depth) depth--
        } else if (at && count > 1) {
            if (depth == at && words[1] == "listen") {
                listens[++listening] = words[2]; says[listening] = 0
                for (i = 3; i <= count; i++) if (words[i] ~ /^default(_server)?$/) says[listening] = 1
            }
            if (depth == at && words[1] == "server_name") for (i = 2; i <= count; i++) names[++named] = words[i]
            if (words[1] ~ /_pass$/) does = does " passes"
            if (words[1] ~ /^(root|alias)$/) does = does " " words[2]
        }
        count = 0
    }
    function elsewhere(    i) {
        for (i = 1; i < depth; i++) if (block[i] ~ /^(stream|mail|upstream)$/) return 1
        return 0
    }
    function end_word() { if (inside) words[++count] = word; inside = 0; word = "" }
    !quote && /^# configuration file .*:$/ { file = substr($0, 22, length($0) - 22); next }
    {
        line = $0 "\n"; length_of = length(line)
        for (i = 1; i <= length_of; i++) {
            c = substr(line, i, 1)
            if (c == "\\") {
                c = substr(line, ++i, 1)
                word = word (c ~ /["\047\\]/ ? c : "\\" c); inside = 1
            } else if (quote) {
                if (c == quote) { quote = ""; end_word() } else word = word c
            } else if (c ~ /[ \t\r\n]/) end_word()
            else if (c == ";" || (c == "{" && word !~ /\$$/)) { end_word(); mark(c) }
            else if (inside) word = word c
            else if (c == "}") mark(c)
            else if (c == "#") break
            else { inside = 1; if (c ~ /["\047]/) quote = c; else word = c }
        }
    }
    END { for (place in all_others) print "rest\t" all_others[place] }'
}
# Whether the regular expression of a server fits this name. One that grep cannot read might.
fits() {
    ere=$(printf '%s\n' "$1" | sed -e 's/(?P\{0,1\}<[A-Za-z0-9_]*>/(/g' -e "s/(?'[A-Za-z0-9_]*'/(/g" -e 's/(?:/(/g' \
        -e ':class' -e 's/\(\[[^]]*\)\\w/\1A-Za-z0-9_/' -e 't class' -e ':digit' -e 's/\(\[[^]]*\)\\d/\10-9/' -e 't digit' \
        -e 's/\\w/[A-Za-z0-9_]/g' -e 's/\\d/[0-9]/g' -e 's/\\-/-/g' -e 's/\([*+?}]\)[?+]/\1/g')
    case $ere in *'(?'* | *\\[A-Za-z0-9]*) return 0 ;; esac
    if printf '%s\n' "$server_name" | grep -Eiq -e "$ere" 2>/dev/null; then return 0; else [ $? -ne 1 ]; fi
}
# Whether the server for all other names serves anybody: it passes on, or has another folder than the empty page that
# nginx and Debian come with.
serves() {
    for part in $1; do
        case $part in
        html | */nginx/html | /usr/share/nginx/html) ;;
        /var/www/html) [ -z "$(find -L "$part" -type f ! -name 'index.nginx-debian.html' 2>/dev/null | head -n 1)" ] || return 0 ;;
        *) return 0 ;;
        esac
    done
    return 1
}
taken() {
    tab=$(printf '\t')
    served | sort -u | while IFS=$tab read -r kind line more; do
        case $kind in
        name) echo "$line" ;;
        regex) if fits "$more"; then echo "$line"; fi ;;
        rest) if serves "$more"; then echo "$line, for every name that no other server has"; fi ;;
        esac
    done
}
# What nginx itself would read; where it cannot say it, what lies in its folder.
configuration() {
    $COMMAND -T 2>/dev/null && return
    [ -d "$NGINX" ] || return 0
    find -L "$NGINX" -type f \( -name '*.conf' -o -path '*/sites-enabled/*' \) | while read -r file; do
        printf '\n# configuration file %s:\n' "$file"
        cat "$file"
    done
}
there=$(configuration | taken)
[ -z "$there" ] || [ "$TAKE_OVER" = yes ] ||
    stop "this nginx serves $server_name already, and its users would get 503 until the first deployment is live:" "$there" \
        "Put Pointsman's lines into that server instead (README.md, \"A site of your own\"), or take the server out;" \
        "or, if nobody uses it, run this again with TAKE_OVER=yes."
# What this nginx was built without is left out of what is written for it.
without=
built=$($COMMAND -V 2>&1) || built=
lacks() { without="$without $1"; }
for module in access auth_basic charset gzip limit_conn limit_req mirror split_clients ssi; do
    case $built in *--without-http_${module}_module*) lacks $module ;; esac
done
case $built in *--without-http-cache*) lacks proxy_cache ;; esac
for module in addition auth_request gunzip gzip_static stub_status sub; do
    case $built in *--with-http_${module}_module* | '') continue ;; esac
    if [ $module = sub ]; then lacks sub_filter; else lacks $module; fi
done
without=${without# }

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
identity=$folder/identity
[ -s "$identity" ] || od -An -N8 -tx1 /dev/urandom | tr -d ' \n' >"$identity"
fill() {
    pattern='-e /#?preview$/d'
    for module in $without; do pattern="$pattern -e /#?$module\$/d"; done
    case " $without " in *" split_clients "*) ;; *) pattern="$pattern -e /#!split_clients\$/d" ;; esac
    [ "$STICKY" = cookie ] || pattern="$pattern -e /#?sticky_cookie\$/d"
    # The first include is one for addresses; the driver writes what the pipeline file says.
    # Words without spaces of their own.
    # shellcheck disable=SC2086
    sed $pattern -e "s|@IDENTITY@|$(cat "$identity")|g" -e "s|@WITHOUT@|${without:--}|g" -e "s|@INCLUDE@|$include|g" -e "s|@FOLDER@|$folder|g" -e "s|@NAME@|$under|g" -e "s|@READ_BACK@|$READ_BACK|g" -e "s|@NEXT@|$next|g" \
        -e "s|@SERVER_NAME@|$server_name|g" -e "s|@HTTP@|$HTTP|g" -e "s|@HTTPS@|$HTTPS|g" -e "s|@HTTPS_PORT@|$port|g" \
        -e "s|@COOKIE@|\"\"|g" -e "s|@IN_SPLIT@|no|g" -e 's|@PAGE_TYPE@|text/html; charset=utf-8|g' -e 's|@RETRY_AFTER@|30|g' -e 's|@JSON_PAGE@|maintenance.json|g' -e "s|@DRAWN_BY@|\$pointsman_${under}_client|g" \
        -e "s|@CERTIFICATE@|$certificate|g" -e "s|@KEY@|$key|g" -e "s|@HSTS@|$hsts|g" \
        -e 's|@ABOUT@|no generation was in force when it was written|' -e 's|@SLOTS@|0 - -|g' -e '/^@ANSWERS@}/s/@ANSWERS@//' -e '/^@PREVIEWS@}/s/@PREVIEWS@//' -e 's|@DOOR@|-|g' \
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
chown "$OWNER" "$NGINX/pointsman" "$include" "$folder" "$identity"
chmod 755 "$folder" "$NGINX/pointsman"
cat <<END
Done. Look at $SITES/pointsman-$name.conf, then: nginx -t && nginx -s reload
In the pipeline file of Pointsman:
  front = { driver = "nginx", include = "$include", folder = "$folder", read_back = "$READ_BACK", sticky = "$STICKY" }
END
