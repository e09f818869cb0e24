#!/usr/bin/env bash
# Checks what the installation needs and pip cannot bring: Python with venv, a C compiler, and the
# headers of Python and GMP (py-libp2p pulls in fastecdsa, which is built from source against GMP).
# As root on Debian or Ubuntu it installs what is missing; elsewhere it prints the command and stops.
set -euo pipefail

PYTHON=${PYTHON:-python3}
DEBIAN_PACKAGES="build-essential libgmp-dev python3-dev python3-venv"

stop() {
    printf 'modelex: %s\n' "$1" >&2
    printf '  try: %s\n' "$2" >&2
    exit 1
}

missing() {
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo "Python's venv module"
    command -v "${CC:-cc}" >/dev/null || { echo "a C compiler"; return; }
    local include
    include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    test -f "$include/Python.h" || echo "Python.h"
    printf '#include <gmp.h>\n' | "${CC:-cc}" ${CPPFLAGS:-} -E - >/dev/null 2>&1 || echo "gmp.h"
}

# Packages would not mend a wrong name, and may bring a Python that nobody asked for.
command -v "$PYTHON" >/dev/null ||
    stop "there is no $PYTHON here" "install it, or name another: make PYTHON=python3.11 setup"
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
    stop "Python 3.11 to 3.13 is needed, $PYTHON is $("$PYTHON" -V 2>&1)" "make PYTHON=python3.11 setup"

lacking=$(missing | paste -sd, -)
if [[ -n $lacking && $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "modelex: installing what is missing: $lacking"
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $DEBIAN_PACKAGES >/dev/null
    lacking=$(missing | paste -sd, -)
fi
[[ -z $lacking ]] || stop "missing: $lacking" "on Debian or Ubuntu, sudo apt-get install $DEBIAN_PACKAGES"
