# Packages of Python for a part, to be sourced by its `--needs`: a folder named by their versions keeps them, so that
# only the first run fetches them. The part itself marks the folder with the file `complete`.

# shellcheck shell=sh
packages_folder() { # NAME PACKAGES
    echo "${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/$1-$(echo "$2" | cksum | cut -d ' ' -f 1)"
}
# Makes the folder anew, or says why it can't and ends with 77. `log` is a file that goes at the end.
install_packages() { # FOLDER PACKAGES FLAGS-OF-PIP…
    command -v python3 >/dev/null 2>&1 || { echo "python3 is not installed"; exit 77; }
    log=$(mktemp "${TMPDIR:-/tmp}/backspace-packages.XXXXXX")
    trap 'rm -f "$log"' EXIT
    folder=$1 packages=$2
    shift 2
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    python3 -m venv "$folder" >"$log" 2>&1 || {
        echo "python3 can't make a virtual environment (Debian: python3-venv): $(tail -n 1 "$log")"
        exit 77
    }
    # shellcheck disable=SC2086
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" $packages >"$log" 2>&1 || {
        echo "the packages $packages can't be installed: $(tail -n 1 "$log")"
        exit 77
    }
}
