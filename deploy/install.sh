# shellcheck shell=bash
# For sourcing: gantry_install SECTION... installs the Debian packages of those sections of deploy/packages
# that are missing, and nothing when none is. Needs root, or sudo.

gantry_packages() { # SECTION...: the packages, one a line
    local list
    list="$(dirname "${BASH_SOURCE[0]}")/packages"
    awk -v wanted=" $* " '
        /^\[/ { section = substr($0, 2, length($0) - 2); next }
        /^[a-z0-9]/ && index(wanted, " " section " ") && !seen[$0]++' "$list"
}

gantry_missing() { # SECTION...: those that are not installed
    local package
    for package in $(gantry_packages "$@"); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

gantry_install() { # SECTION...
    local missing as_root=()
    command -v apt-get >/dev/null || return 0 # not Debian: the build says what it does not find
    mapfile -t missing < <(gantry_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || {
            printf 'missing packages, and no sudo to install them; as root:\n  apt-get install %s\n' \
                "${missing[*]}" >&2
            return 1
        }
        as_root=(sudo)
    fi
    printf 'installing: %s\n' "${missing[*]}"
    # RUNLEVEL=1: packages do not start the services they bring (redis-server); Gantry runs a Redis of its own.
    _gantry_apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 LC_ALL=C apt-get -q "$@"; }
    _gantry_apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { _gantry_apt update >/dev/null && _gantry_apt install -y --no-install-recommends "${missing[@]}" >/dev/null; }
}
