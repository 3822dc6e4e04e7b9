# Run by `sh -c` on nginx's host: what Pointsman does there, one step a call. Every step can be cut short anywhere and
# done again. Exit status 75: somebody else was faster; 65: the configuration is refused; 66: nginx takes no signal.
set -eu
LC_ALL=C PATH=$PATH:/usr/sbin:/usr/local/sbin
export LC_ALL PATH
umask 022
verb=$1 include=$2 folder=$3
shift 3
former=$include.former

fail() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}
digest() { if [ -e "$include" ]; then sha256sum <"$include" | cut -c 1-64; else echo none; fi; }
live() { readlink "$folder/live" || echo none; }
durable() { sync "$@" 2>/dev/null || sync; }
# An empty former file: there was none.
restore() {
    rm -f "$folder/farewell"
    if [ -s "$former" ]; then mv -f "$former" "$include"; elif [ -e "$former" ]; then rm -f "$include" "$former"; fi
}
lock() {
    for place in "$folder" "${include%/*}"; do
        [ -d "$place" ] || mkdir -p "$place" 2>/dev/null || fail 77 "$place is not there and can not be made by $(id -un)"
        [ -w "$place" ] || fail 77 "$(id -un) must not write to $place"
    done
    [ -d "$folder/routes" ] || mkdir "$folder/routes"
    exec 9>"$folder/lock"
    flock -w 5 9 || fail 75 "somebody else has been at $folder for 5 s"
    # Of the reload before, which is over or was cut short.
    rm -f "$folder/farewell"
}
test_it() { said=$("$@" -t 2>&1 9>&-) || { restore; fail 65 "$said"; }; }
# A reload closes connections that wait for their next request, and one may just be on its way. So before it every answer
# says that its connection ends, until it is known that the old workers are out (`farewell`).
reload() {
    : >"$folder/farewell"
    sleep "$farewell" 9>&-
    said=$("$@" -s reload 2>&1 9>&-) || { restore; fail 66 "$said"; }
}

case $verb in
look)
    printf '%s\n%s\n%s\n' "$(live)" "$(digest)" "$(cat "$folder/live/route.json" 2>/dev/null || echo -)"
    [ ! -e "$include" ] || cat "$include"
    ;;
stage)
    farewell=$1 expected=$2 on=$3 text=$4
    shift 4
    lock
    # Left by somebody who was cut short: what is in its place was never tried.
    restore
    [ "$(digest)" = "$expected" ] && [ "$(live)" = "$on" ] || exit 75
    printf '%s' "$text" >"$include.new"
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
    durable "${include%/*}"
    ;;
reload)
    farewell=$1
    shift
    lock
    restore
    test_it "$@"
    reload "$@"
    ;;
farewell)
    lock
    ;;
cut)
    generation=$1 key=$2 mark=$3 route=$4
    lock
    cd "$folder"
    last=0
    for made in routes/*; do
        made=${made#routes/}
        case $made in *[!0-9]*) continue ;; esac
        [ "$made" -le "$last" ] || last=$made
    done
    [ "$last" -le "$generation" ] || { echo "stale $last"; exit 0; }
    [ -z "$mark" ] || grep -qF -- "$mark" "$include" || exit 75
    if [ -e "routes/$generation" ]; then
        [ "$(cat "routes/$generation/route.json")" = "$route" ] || { echo taken; exit 0; }
    else
        rm -rf routes/new
        mkdir routes/new
        printf '%s' "$route" >routes/new/route.json
        : >"routes/new/$key"
        durable routes/new/route.json
        mv -T routes/new "routes/$generation"
    fi
    ln -sfn "routes/$generation" live.new
    mv -T live.new live
    durable . routes
    for old in routes/*; do
        old=${old#routes/}
        case $old in *[!0-9]*) continue ;; esac
        [ "$old" -eq "$generation" ] || [ "$old" -eq "$last" ] || rm -rf "routes/$old"
    done
    echo applied
    ;;
esac
