# Each target sets up what it needs, from nothing. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup lfw run test test-web lighthouse train enrol check audit soak bench bench-check bench-served bench-peers \
	fuzz image deploy deploy-local deploy-web publish smoke ship

PYTHON := .venv/bin/python
OUT ?= runs/lfw
# What has been enrolled last, else the model in the repository.
HERE := $(if $(wildcard models/latest.json),models,model/bundled)
export MODEL_URI ?= $(HERE)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Python 3.8 in .venv, and node_modules
	@scripts/setup.sh

setup-%:
	@scripts/setup.sh $*

lfw:
	@test -n "$(DATA)" || { echo "make $(MAKECMDGOALS) DATA=lfw-deepfunneled.tgz, which the bundled model was trained on" >&2; exit 1; }

run: setup ## serve the model on http://localhost:3000 (PORT=3001 moves it) until Ctrl-C
	@exec $(PYTHON) scripts/run.py

test: setup-dev ## all tests
	@$(PYTHON) -m pytest $(ARGS)

test-web: setup-dev ## those of the page alone, in Chromium; pictures of each of its states go to build/screenshots
	@$(PYTHON) -m pytest tests/web $(ARGS)

lighthouse: setup-dev ## how Lighthouse, 180 MB that are fetched for it, rates the page
	@LIGHTHOUSE=1 $(PYTHON) -m pytest tests/web/test_lighthouse.py -n 0 -s $(ARGS)

train: setup ## PEOPLE=folder, DATA=archive or folder instead of LFW: a model and its report in OUT
	@exec $(PYTHON) -m training all $(if $(DATA),--data "$(DATA)",--source lfw) $(if $(PEOPLE),--people "$(PEOPLE)") --out "$(OUT)"

enrol: setup ## PEOPLE=folder: adds people, a folder each, to the current model
	@test -n "$(PEOPLE)" || { echo "make enrol PEOPLE=dir, a folder of photos for each person" >&2; exit 1; }
	@exec $(PYTHON) -m training enrol --people "$(PEOPLE)"

check: setup-dev ## ruff, mypy, audit and all tests
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	-@$(PYTHON) scripts/audit.py # says what is new, and fails only as `make audit`: yesterday's commit is not to blame
	@$(PYTHON) -m pytest $(ARGS)

audit: setup-dev ## known vulnerabilities of what is served, less those judged in docs/security.md
	@$(PYTHON) scripts/audit.py

soak: setup-dev ## ARGS="--requests 20000": memory and pace of one runtime over a long life
	@exec $(PYTHON) -m benchmarks.soak $(ARGS)

bench: setup-dev ## the service against the plain way, and how its time grows: writes benchmarks/results.md, a quarter of an hour
	@exec $(PYTHON) -m benchmarks.bench $(ARGS)

bench-check: setup-dev ## fails where the service became slower, against the plain way, than benchmarks/results.json has it
	@exec $(PYTHON) -m benchmarks.bench --check $(ARGS)

bench-served: lfw setup-dev ## DATA=archive or folder of LFW, deep-funneled: does it still find the same faces and name them as well?
	@exec $(PYTHON) -m benchmarks.served --data "$(DATA)" $(ARGS)

bench-peers: lfw setup-peers ## DATA=archive or folder of LFW, deep-funneled: face_recognition and facenet-pytorch beside us, an hour
	@exec $(PYTHON) -m benchmarks.peers --data "$(DATA)" $(ARGS)

fuzz: setup-dev ## a million odd requests and 20,000 damaged photos, and as many led by coverage
	@$(PYTHON) -m tests.fuzz.fuzz
	@$(PYTHON) -m tests.fuzz.guided events --runs 1000000
	@$(PYTHON) -m tests.fuzz.guided images --runs 20000

image: setup-emulator ## the Lambda function's image, and a photo for it: with Docker, else as root with buildah and debootstrap
	@exec $(PYTHON) scripts/image.py

deploy: setup ## npx sls deploy, ARGS="--stage prod --param memory=3538": the service on AWS
	@NODE_NO_WARNINGS=1 exec npx sls deploy $(ARGS)

deploy-local: setup-dev ## the same against a local API of AWS's, and what came up
	@$(PYTHON) -m pytest tests/test_deploy.py -v --durations=0 $(ARGS)

deploy-web: setup ## the page on AWS: ARGS="--website" without CloudFront, ARGS="--remove" takes it down
	@exec $(PYTHON) scripts/deploy_web.py $(ARGS)

publish: setup ## MODEL_URI=s3://bucket/prefix: the model at hand, or MODEL=folder, to S3
	@exec $(PYTHON) -m training publish --model "$(or $(MODEL),$(HERE))" --to "$(MODEL_URI)"

smoke: setup ## URL=https://...: does an endpoint do what it should? Without URL the one that is deployed
	@exec $(PYTHON) scripts/smoke.py

ship: setup ## PEOPLE=folder MODEL_URI=s3://...: enrol, or train with DATA, publish and smoke test
	@exec scripts/ship.sh
