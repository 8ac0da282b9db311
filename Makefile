# Each target first sets up what it needs, also in a fresh clone. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup lfw people run test test-web test-clients lighthouse train enrol evaluate check audit soak bench bench-bulk bench-check bench-served bench-peers \
	bench-scale open-set thresholds fuzz image deploy deploy-local deploy-web publish smoke ship \
	bulk bulk-enrol

PYTHON := .venv/bin/python
OUT ?= runs/lfw
# A model that was exported to this folder, else the bundled one.
CURRENT := $(if $(wildcard models/latest.json),models,model/bundled)
export MODEL_URI ?= $(CURRENT)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install Python 3.8 and packages in .venv, and node_modules
	@scripts/setup.sh

setup-%:
	@scripts/setup.sh $*

lfw:
	@test -n "$(DATA)" || { echo "set DATA to the archive or folder of LFW, deep-funneled: make $(MAKECMDGOALS) DATA=lfw-deepfunneled.tgz" >&2; exit 1; }

# setup-training omits Node, which only Serverless and tests need.
run: setup-training ## serve the model on http://localhost:3000 (PORT=3001 changes the port) and the page until Ctrl-C
	@exec $(PYTHON) -m scripts.run

test: setup-dev ## run all tests
	@$(PYTHON) -m pytest $(ARGS)

test-web: setup-dev ## run the tests of the page, in Chromium; screenshots are saved in build/screenshots
	@$(PYTHON) -m pytest tests/web $(ARGS)

test-clients: setup-dev ## run the tests with clients of Amazon Rekognition and CompreFace
	@scripts/setup.sh clients # fails where setup-dev only warns
	@$(PYTHON) -m pytest tests/clients $(ARGS)

lighthouse: setup-dev ## rate the page with Lighthouse (downloads 180 MB)
	@LIGHTHOUSE=1 $(PYTHON) -m pytest tests/web/test_lighthouse.py -n 0 -s $(ARGS)

train: setup ## train a model with PEOPLE=folder and LFW (or DATA=archive or folder, or COLLECTION=name); writes model and report to OUT
	@exec $(PYTHON) -m training all $(if $(COLLECTION),--collection "$(COLLECTION)",$(if $(DATA),--data "$(DATA)",--source lfw)) \
		$(if $(PEOPLE),--people "$(PEOPLE)") --out "$(OUT)" $(ARGS)

people:
	@test -n "$(PEOPLE)" || { echo "set PEOPLE to a folder with one folder of photos per person: make $(MAKECMDGOALS) PEOPLE=dir" >&2; exit 1; }

enrol: people setup ## enrol PEOPLE=folder, with one folder of photos per person, in COLLECTION; FROM=lfw begins with the bundled people, ARGS=--dry-run only shows what would be done
	@exec $(PYTHON) -m training enrol --people "$(PEOPLE)" $(if $(COLLECTION),--collection "$(COLLECTION)") $(if $(FROM),--from "$(FROM)") $(ARGS)

evaluate: people setup ## measure how well people like those in PEOPLE=folder are identified, by number of people and photos
	@exec $(PYTHON) -m training evaluate --people "$(PEOPLE)" $(if $(STRANGERS),--strangers "$(STRANGERS)") $(ARGS)

check: setup-dev ## run ruff, mypy, the audit and all tests
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	-@$(PYTHON) scripts/audit.py # reports only: a vulnerability published today is no fault of the commit
	@$(PYTHON) -m pytest $(ARGS)

audit: setup-dev ## report known vulnerabilities of the service's packages, except those judged in docs/security.md
	@$(PYTHON) scripts/audit.py

soak: setup-dev ## measure memory and speed of one runtime over ARGS="--requests 20000"
	@exec $(PYTHON) -m benchmarks.soak $(ARGS)

bench: setup-dev ## measure the service and the baseline (facenet-pytorch); writes benchmarks/results.md in 12 minutes
	@exec $(PYTHON) -m benchmarks.bench $(ARGS)

bench-bulk: setup-dev ## measure photos a second of one and of two runtimes that process batches, in 3 minutes
	@exec $(PYTHON) -m benchmarks.bulk $(ARGS)

bench-check: setup-dev ## fail if the service, relative to the baseline, is slower than in benchmarks/results.json
	@exec $(PYTHON) -m benchmarks.bench --check $(ARGS)

bench-served: lfw setup-dev ## check that faces found and accuracy on LFW are unchanged (DATA=archive or folder)
	@exec $(PYTHON) -m benchmarks.served --data "$(DATA)" $(ARGS)

bench-peers: lfw setup-peers ## compare with face_recognition and facenet-pytorch on LFW (DATA=archive or folder) in an hour
	@exec $(PYTHON) -m benchmarks.peers --data "$(DATA)" $(ARGS)

bench-scale: setup-dev ## measure search, memory, start and changes with up to a million people; writes docs/scale.md in an hour
	@exec $(PYTHON) -m benchmarks.scale $(ARGS)

open-set: lfw setup-dev ## measure open-set accuracy by the size of the gallery on LFW (DATA=archive or folder) in 10 minutes
	@exec $(PYTHON) -m benchmarks.open_set --data "$(DATA)" $(ARGS)

thresholds: lfw setup-dev ## measure accuracy on LFW (DATA=archive or folder) at the thresholds that Rekognition's and CompreFace's clients set, in 20 minutes
	@exec $(PYTHON) -m benchmarks.thresholds --data "$(DATA)" $(ARGS)

fuzz: setup-dev ## send a million malformed requests and 20,000 damaged photos, and the same guided by coverage
	@$(PYTHON) -m tests.fuzz.fuzz
	@$(PYTHON) -m tests.fuzz.guided events --runs 1000000
	@$(PYTHON) -m tests.fuzz.guided images --runs 20000

image: setup-emulator ## build the Lambda image and classify a photo with it: Docker, or as root buildah and debootstrap
	@exec $(PYTHON) scripts/image.py

deploy: setup ## deploy the service on AWS; ARGS="--stage prod --param memory=3538" go to npx sls deploy
	@NODE_NO_WARNINGS=1 exec npx sls deploy $(ARGS)

deploy-local: setup-dev ## deploy on a local emulation of AWS and check the result
	@$(PYTHON) -m pytest tests/test_deploy.py -v --durations=0 $(ARGS)

deploy-web: setup ## deploy the page on AWS; ARGS="--website" without CloudFront, ARGS="--remove" to remove it
	@exec $(PYTHON) scripts/deploy_web.py $(ARGS)

publish: setup ## publish the current model, or MODEL=folder, to MODEL_URI=s3://bucket/prefix
	@exec $(PYTHON) -m training publish --model "$(or $(MODEL),$(CURRENT))" --to "$(MODEL_URI)"

smoke: setup ## test the deployed endpoint, or URL=https://...
	@exec $(PYTHON) scripts/smoke.py

ship: setup ## enrol PEOPLE=folder or train with DATA, publish to MODEL_URI=s3://... and run the smoke test
	@exec scripts/ship.sh

bulk: setup ## identify the photos below PREFIX in PHOTOS_BUCKET with the deployed service; ARGS="--dry-run" only counts and prices
	@exec $(PYTHON) -m scripts.bulk classify --bucket="$(BUCKET)" --prefix="$(PREFIX)" --collection="$(COLLECTION)" $(ARGS)

bulk-enrol: setup ## enrol people from folders below PREFIX in PHOTOS_BUCKET, one for each person, in COLLECTION
	@exec $(PYTHON) -m scripts.bulk enrol --bucket="$(BUCKET)" --prefix="$(PREFIX)" --collection="$(COLLECTION)" $(ARGS)
