#!/bin/sh
# From photos to an answering endpoint: enrol (PEOPLE) or train (DATA), publish to MODEL_URI, smoke test at URL, which is
# the deployed endpoint unless given. `make ship` calls it.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "ship: $*" >&2
    exit 1
}

case ${MODEL_URI:-} in
s3://?*) ;;
*) fail "MODEL_URI=s3://bucket/prefix is where the model goes" ;;
esac
[ -n "${PEOPLE:-}${DATA:-}" ] || fail "PEOPLE=folder adds people to the model at $MODEL_URI, DATA=archive or folder trains a new one"

python=.venv/bin/python
out=${OUT:-runs/ship}
if [ -n "${DATA:-}" ]; then
    $python -m training all --data "$DATA" ${PEOPLE:+--people "$PEOPLE"} --out "$out"
    model=$out/model
else
    model=build/ship # a new folder: nothing in it means that nobody was new
    rm -rf $model
    $python -m training enrol --people "$PEOPLE" --model "$MODEL_URI" --out $model
    [ -f $model/latest.json ] || { echo "ship: nobody new, so $MODEL_URI stays as it is" && exit; }
fi
$python -m training publish --model "$model" --to "$MODEL_URI"
version=$($python -c 'import sys; from model.store import current; print(current(sys.argv[1]).version)' "$model")
exec $python scripts/smoke.py --version "$version"
