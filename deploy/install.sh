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
    _gantry_as_root() { "${as_root[@]}" "$@"; }
    _gantry_apt() { _gantry_as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q "$@"; }
    # Gantry runs a Redis of its own: the service that redis-server brings is not started now.
    local masked=
    case " ${missing[*]} " in
        *" redis-server "*) [ -d /run/systemd/system ] && _gantry_as_root systemctl mask --runtime --quiet redis-server && masked=yes ;;
    esac
    local code=0
    _gantry_apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { _gantry_apt update >/dev/null && _gantry_apt install -y --no-install-recommends "${missing[@]}" >/dev/null; } ||
        code=$?
    [ -z "$masked" ] || _gantry_as_root systemctl unmask --runtime --quiet redis-server
    return "$code"
}
