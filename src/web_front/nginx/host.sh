# Read by `sh -s` on nginx's host, whole before any of it runs: what Pointsman does there, one step a call. Every step can
# be cut short anywhere and done again. Exit status 75: somebody else was faster; 65: the configuration is refused; 66:
# nginx takes no signal; 69: a program is missing; 77: a folder may not be written.
set -eu
LC_ALL=C PATH=$PATH:/usr/sbin:/usr/local/sbin
export LC_ALL PATH
umask 022
# What a login script has said before is not ours.
echo @pointsman@
echo @pointsman@ >&2
verb=$1 include=$2 folder=$3
shift 3
former=$include.former
me=$(printf %s "$include" | tr / _)

fail() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}
for tool in flock sha256sum readlink sync tr od sed; do
    command -v $tool >/dev/null || fail 69 "there is no $tool"
done
digest() { if [ -e "$include" ]; then sha256sum <"$include" | cut -c 1-64; else echo none; fi; }
# A route without the addresses of its stacks.
stacks() { printf '%s\n' "$1" | sed 's/"endpoints":[[]{[^}]*}\(,{[^}]*}\)*]//g'; }
live() { readlink "$folder/live" || echo none; }
durable() { sync "$@" 2>/dev/null || sync; }
# A full disk is told by the program that met it.
save() { printf '%s' "$2" | cat >"$1"; }
nap() { sleep "$1" 2>/dev/null || sleep 1; }
# An empty former file: there was none.
restore() {
    if [ -s "$former" ]; then mv -f "$former" "$include"; elif [ -e "$former" ]; then rm -f "$include" "$former"; fi
}
# The page that users get while nobody has them: a file of its own, so that another one takes no reload. Empty: as it is.
show() {
    [ -n "$1" ] && [ "$(cat "$folder/maintenance" 2>/dev/null; echo .)" != "$1." ] || return 0
    save "$folder/maintenance.new" "$1"
    durable "$folder/maintenance.new"
    mv -f "$folder/maintenance.new" "$folder/maintenance"
}
lock() {
    for place in "$folder" "${include%/*}"; do
        [ -d "$place" ] || mkdir -p "$place" 2>/dev/null || fail 77 "$place is not there and cannot be made by $(id -un)"
        [ -w "$place" ] || fail 77 "$(id -un) must not write to $place"
    done
    [ -d "$folder/routes" ] || mkdir "$folder/routes"
    exec 9>"$folder/lock"
    tries=0
    until flock -n 9; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || fail 75 "somebody else has been at $folder for 5 s"
        nap 0.05
    done
}
# Made once, so that it can be told whether this is still the same folder of the same host.
identity() {
    if [ ! -s "$folder/identity" ] && [ -w "$folder" ]; then
        od -An -N8 -tx1 /dev/urandom | tr -d ' \n' >"$folder/identity.$$"
        ln "$folder/identity.$$" "$folder/identity" 2>/dev/null || :
        rm -f "$folder/identity.$$"
    fi
    cat "$folder/identity" 2>/dev/null || printf -- -
    echo
}
# Of every site of this nginx that Pointsman has: a reload closes the connections of all of them.
folders() {
    {
        echo "$folder"
        sed -n 's|^ *alias \(/.*\)/live/route\.json;$|\1|p' "${include%/*}"/*.conf 2>/dev/null || :
    } | sort -u
}
# With the flag of a folder in our hands.
flagged() { (exec 8>>"$1/farewell.lock" && flock 8 && "$2" "$1"); }
raise() { mkdir -p "$1/farewells" && : >"$1/farewells/$me" && : >"$1/farewell"; }
lower() {
    rm -f "$1/farewells/$me"
    [ ! -d "$1/farewells" ] || find "$1/farewells" -type f -mmin +1 -exec rm -f {} +
    if rmdir "$1/farewells" 2>/dev/null || [ ! -e "$1/farewells" ]; then rm -f "$1/farewell"; fi
}
forget() { [ -z "$(find "$1/farewells/$me" -mmin +1 2>/dev/null)" ] && [ -e "$1/farewells/$me" ] || lower "$1"; }
# A reload closes connections that wait for their next request, and one may just be on its way. So before it every answer
# of every site says that its connection ends, until it is known that the old workers are out (`farewell`).
everywhere() {
    folders | while read -r place; do
        [ -d "$place" ] && [ -w "$place" ] || continue
        flagged "$place" "$1"
    done
}
test_it() { said=$("$@" -t 2>&1 9>&-) || { restore; fail 65 "$said"; }; }
reload() { said=$("$@" -s reload 2>&1 9>&-) || { restore; fail 66 "$said"; }; }

case $verb in
look)
    [ "$1" != raise ] || ! [ -d "$folder" ] || everywhere raise
    printf '%s\n%s\n%s\n' "$(live)" "$(digest)" "$(cat "$folder/live/route.json" 2>/dev/null || echo -)"
    identity
    [ ! -e "$include" ] || cat "$include"
    ;;
stage)
    expected=$1 on=$2 door=$3 keys=$4 page=$5 text=$6
    shift 6
    lock
    # Left by somebody who was cut short: what is in its place was never tried.
    restore
    [ "$(digest)" = "$expected" ] && [ "$(live)" = "$on" ] || exit 75
    # Only nginx's master reads the keys of the preview.
    if [ "$door" != - ]; then
        (umask 077 && save "$folder/preview.new" "$keys")
        durable "$folder/preview.new"
        mv -f "$folder/preview.new" "$folder/preview-$door"
    fi
    show "$page"
    save "$include.new" "$text"
    if [ -e "$include" ]; then cp -p "$include" "$former.new"; else : >"$former.new"; fi
    durable "$include.new" "$former.new"
    trap restore EXIT
    trap 'restore; exit 70' HUP INT TERM PIPE
    mv -f "$former.new" "$former"
    mv -f "$include.new" "$include"
    test_it "$@"
    reload "$@"
    rm -f "$former"
    trap - EXIT
    for keys in "$folder"/preview-*; do
        [ "$keys" = "$folder/preview-$door" ] || rm -f "$keys"
    done
    durable "${include%/*}"
    ;;
reload)
    lock
    restore
    test_it "$@"
    reload "$@"
    ;;
configuration)
    # As nginx reads it. Where it may not be asked for that, which sudo would note as an offence, what lies in its folder.
    if [ "$1" != sudo ] && "$@" -T 2>/dev/null; then exit 0; fi
    root=${include%/*}
    find -L "${root%/*}" -maxdepth 4 -type f \( -name '*.conf' -o -path '*/sites-enabled/*' \) \
        ! -path '*/sites-available/*' 2>/dev/null | sed 400q | while read -r file; do
        printf '\n# configuration file %s:\n' "$file"
        cat "$file" 2>/dev/null || :
    done
    ;;
farewell)
    everywhere "$1"
    ;;
cut)
    generation=$1 key=$2 mark=$3 shared=$4 shared_mark=$5 percent=$6 route=$7 page=$8
    lock
    cd "$folder"
    last=0
    for made in routes/*; do
        made=${made#routes/}
        case $made in *[!0-9]*) continue ;; esac
        [ "$made" -le "$last" ] || last=$made
    done
    [ "$last" -le "$generation" ] || { echo "stale $last"; exit 0; }
    for one in "$mark" "$shared_mark"; do
        [ -z "$one" ] || grep -qF -- "$one" "$include" || exit 75
    done
    # Made once for all orders with this share.
    if [ "$percent" -gt 0 ] && [ ! -d "shares/$percent" ]; then
        rm -rf shares/new
        mkdir -p shares/new
        bucket=0
        while [ $bucket -lt "$percent" ]; do
            : >"shares/new/$bucket"
            bucket=$((bucket + 1))
        done
        durable shares/new
        mv -T shares/new "shares/$percent"
        durable shares
    fi
    place=$generation
    if [ -e "routes/$generation" ] && first=$(cat "routes/$generation/route.json") && [ "$first" != "$route" ]; then
        # To the same stacks, it is the same order with the addresses that they have now: it gets a folder beside the first.
        [ "$(stacks "$first")" = "$(stacks "$route")" ] || { echo taken; exit 0; }
        place=$generation.$key.$shared
    fi
    show "$page"
    was=$(live)
    if [ ! -e "routes/$place" ]; then
        rm -rf routes/new
        mkdir routes/new
        save routes/new/route.json "$route"
        : >"routes/new/$key"
        [ "$percent" -eq 0 ] || ln -s "../../shares/$percent" "routes/new/$shared.share"
        [ -z "$shared_mark" ] || : >routes/new/split
        durable routes/new/route.json
        mv -T routes/new "routes/$place"
    fi
    ln -sfn "routes/$place" live.new
    mv -T live.new live
    durable . routes
    for old in routes/*; do
        old=${old#routes/}
        case $old in [!0-9]* | "$place" | "$generation" | "$last" | "${was#routes/}") continue ;; esac
        rm -rf "routes/$old"
    done
    echo applied
    ;;
esac
exit 0
