#!/usr/bin/env bash
# Start the web UI: find Python, make an environment, install what is missing, run webui.py.
#
# Values are read from webui-user.sh beside this file, if it exists:
#   COMMANDLINE_ARGS   flags for every start
#   python_cmd         interpreter (also: PYTHON)
#   venv_dir           folder of the environment, "-" for none (also: VENV_DIR; default: venv)
#   TORCH_COMMAND, TORCH_INDEX_URL, INDEX_URL, REQS_FILE   see docs/decisions/0004-installing.md
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

if [ -f webui-user.sh ] && [ -z "${WEBUI_NO_USER_FILE:-}" ]; then
    # shellcheck source=/dev/null
    . ./webui-user.sh
fi
for name in COMMANDLINE_ARGS TORCH_COMMAND TORCH_INDEX_URL INDEX_URL REQS_FILE; do
    if [ -n "${!name:-}" ]; then
        export "${name?}"
    fi
done

arguments="$* ${COMMANDLINE_ARGS:-}"

if [ "$(id -u)" = 0 ]; then
    case " $arguments " in
        *" -f "*) ;;
        *) echo "Running as root, which is only meant for containers." >&2 ;;
    esac
fi

works() {
    case " $arguments " in
        *" --skip-python-version-check "*) "$1" -c '' >/dev/null 2>&1 && return ;;
    esac
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
    local candidate wanted="${python_cmd:-${PYTHON:-}}"
    if [ -n "$wanted" ]; then
        works "$wanted" || fail "$wanted is not Python 3.11, 3.12 or 3.13; change python_cmd."
        printf '%s\n' "$wanted"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if works "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed and was not found." \
        "Install it (Debian and Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.11)," \
        "or name an interpreter: python_cmd=/path/to/python3.11 ./webui.sh"
}

make_venv() {
    local base
    base="$(find_python)" || exit 1
    echo "Making an environment in $venv with $base ..." >&2
    "$base" -m venv "$venv" ||
        fail "The environment could not be made." \
            "If a package is missing (Debian and Ubuntu): sudo apt install $("$base" -c \
                'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
}

venv="${venv_dir:-${VENV_DIR:-venv}}"
if [ "$venv" = - ]; then
    python="$(find_python)" || exit 1
else
    [ -x "$venv/bin/python" ] || make_venv
    python="$venv/bin/python"
fi

"$python" -m modules.install "$@" || exit
exec "$python" webui.py "$@"
