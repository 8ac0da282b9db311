#!/bin/sh
# From photos to a tested endpoint: enrol PEOPLE in GALLERY_URI, or train with DATA and publish to MODEL_URI; then run the
# smoke test at URL (by default the deployed endpoint). `make ship` calls it.
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
[ -n "${PEOPLE:-}${DATA:-}" ] || fail "set PEOPLE=folder to add people to a collection, or DATA=archive or folder to train a new model"

python=.venv/bin/python
out=${OUT:-runs/ship}
if [ -z "${DATA:-}" ]; then
    case ${GALLERY_URI:-}$MODEL_URI in
    s3://*s3://*) ;;
    s3://*/networks) GALLERY_URI=${MODEL_URI%/networks}/galleries ;; # as in a bucket of the stack
    *) fail "set GALLERY_URI=s3://bucket/prefix, where the collections are" ;;
    esac
    $python -m training enrol --people "$PEOPLE" --galleries "$GALLERY_URI" --model "$MODEL_URI" ${COLLECTION:+--collection "$COLLECTION"}
    exec $python scripts/smoke.py
fi
$python -m training all --data "$DATA" ${PEOPLE:+--people "$PEOPLE"} --out "$out"
model=$out/model
$python -m training publish --model "$model" --to "$MODEL_URI"
version=$($python -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' "$model/latest.json")
exec $python scripts/smoke.py --version "$version"
