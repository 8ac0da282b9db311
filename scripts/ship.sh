#!/bin/sh
# From photos to a tested endpoint: enrol PEOPLE or train with DATA, publish to MODEL_URI, run the smoke test at URL (by
# default the deployed endpoint). `make ship` calls it.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "ship: $*" >&2
    exit 1
}

case ${MODEL_URI:-} in
s3://?*) ;;
*) fail "set MODEL_URI=s3://bucket/prefix, where the model is published" ;;
esac
[ -n "${PEOPLE:-}${DATA:-}" ] || fail "set PEOPLE=folder to add people to the model at $MODEL_URI, or DATA=archive or folder to train a new one"

python=.venv/bin/python
out=${OUT:-runs/ship}
if [ -n "${DATA:-}" ]; then
    $python -m training all --data "$DATA" ${PEOPLE:+--people "$PEOPLE"} --out "$out"
    model=$out/model
else
    model=build/ship # removed first: if it has no latest.json afterwards, there were no new people
    rm -rf $model
    $python -m training enrol --people "$PEOPLE" --model "$MODEL_URI" --out $model
    [ -f $model/latest.json ] || { echo "ship: no new people; $MODEL_URI is unchanged" && exit; }
fi
$python -m training publish --model "$model" --to "$MODEL_URI"
version=$($python -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$model/latest.json")
exec $python scripts/smoke.py --version "$version"
