#!/bin/sh
# Installs the Debian packages of packages.txt that are missing or too old.
#
#   deps/install.sh [build] [test] [bench]      default: build test
#
# Silent and fast when there is nothing to do.  Uses sudo when not root.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
list=$here/packages.txt
[ $# -gt 0 ] || set -- build test
for class; do
    case $class in
        build | test | bench) ;;
        *) echo "usage: deps/install.sh [build] [test] [bench]" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps/install.sh: this is not a Debian system; install by hand what deps/packages.txt lists" >&2
    exit 1
fi

wanted() { # name, minimum and class of the packages of the given classes
    for class; do
        awk -v class="$class" '!/^#/ && NF >= 3 && $3 == class { print $1, $2 }' "$list"
    done
}

# Name and version of what is installed.  What a package provides without a
# version counts as new enough: nodejs of NodeSource provides npm, and both cannot be.
list_installed() {
    dpkg-query -W -f '${Package}|${db:Status-Status}|${Version}|${Provides}\n' 2>/dev/null |
        awk -F'|' '$2 == "installed" { print $1, $3
            count = split($4, provided, ", ")
            for (i = 1; i <= count; i++) if (provided[i] !~ / /) print provided[i], "9999:0" }'
}
installed=$(list_installed)

lacking() { # names of packages that are absent or older than their minimum
    printf '%s\n===\n%s\n' "$installed" "$(wanted "$@")" |
        awk '$1 == "===" { wanted = 1; next }
             !wanted { if ($2 != "9999:0" || !($1 in version)) version[$1] = $2; next }
             NF { print $1, $2, ($1 in version) ? version[$1] : "-" }' |
        while read -r name minimum version; do
            if [ "$version" = - ] || dpkg --compare-versions "$version" lt "$minimum"; then
                echo "$name"
            fi
        done
}

missing=$(lacking "$@" | tr '\n' ' ')
[ -n "${missing% }" ] || exit 0

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "deps/install.sh: not root and no sudo; as root run: apt-get install $missing" >&2
        exit 1
    fi
}

echo "deps/install.sh: installing ${missing% }"
export DEBIAN_FRONTEND=noninteractive
for name in $missing; do # package lists are fetched only when they do not know a name
    if ! apt-cache show "$name" >/dev/null 2>&1; then
        as_root apt-get update -qq
        break
    fi
done
# shellcheck disable=SC2086
if ! as_root apt-get install -y -qq --no-install-recommends $missing </dev/null; then
    echo "deps/install.sh: trying again with fresh package lists"
    as_root apt-get update -qq
    # shellcheck disable=SC2086
    as_root apt-get install -y -qq --no-install-recommends $missing </dev/null
fi

still=$(installed=$(list_installed)
    lacking "$@" | tr '\n' ' ')
if [ -n "${still% }" ]; then
    echo "deps/install.sh: this system offers no recent enough: ${still% } (see deps/packages.txt)" >&2
    exit 1
fi
