# The Lambda function's image: `make image` builds it and asks it who is on a photo.
#
#   BASE    any image with Python 3.8 in which `python` starts it
#   TORCH   the version of torch, and WHEELS a page of wheels beside the package index. TORCH=1.5.0 WHEELS= needs the
#           index alone, which holds only the build with CUDA: a gigabyte more
#   WEIGHTS baked: the folder MODEL with latest.json, a model, is part of the image; none: it comes from MODEL_URI
#
# A private package index comes as a build secret: --secret id=pip,src=pip.conf.
ARG BASE=public.ecr.aws/docker/library/python:3.8-slim-bookworm

FROM ${BASE} AS packages
ARG TORCH=1.5.0+cpu
ARG WHEELS=https://download.pytorch.org/whl/torch_stable.html
WORKDIR /build
COPY requirements.txt constraints.txt ./
# Serving imports neither torchvision nor facenet-pytorch's code, only the detector's weights that come with the latter.
# No request reads tests, headers, tools, Caffe2, or botocore's descriptions of services other than S3 and RDS.
# Lambda's disk is read-only and the image's times are not kept everywhere: the byte code has to do without either.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    grep -vE '^(torch|torchvision|facenet-pytorch|requests-toolbelt)==' requirements.txt > serving.txt \
    && install="python -m pip install -q --root-user-action=ignore --no-cache-dir --no-compile --target /packages -c constraints.txt" \
    && $install ${WHEELS:+-f ${WHEELS}} "torch==${TORCH}" awslambdaric -r serving.txt \
    && $install --no-deps facenet-pytorch \
    && rm -rf /packages/bin /packages/caffe2 /packages/torch/include /packages/torch/share /packages/torch/bin/protoc* \
        /packages/torch/lib/libcaffe2_* \
    && find /packages -depth -type d -name tests -exec rm -rf {} + \
    && find /packages/botocore/data -mindepth 1 -type d ! -path '*/s3*' ! -path '*/rds*' -prune -exec rm -rf {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash /packages

FROM ${BASE} AS code
WORKDIR /function
COPY handler.py startup.py app.py settings.py openapi.yaml ./
COPY api ./api
COPY service ./service
COPY storage ./storage
COPY model/*.py ./model/
COPY model/decoding ./model/decoding
COPY model/detection ./model/detection
RUN python -m compileall -q --invalidation-mode unchecked-hash .

FROM ${BASE} AS weights
ARG WEIGHTS=baked
ARG MODEL=model/bundled
COPY ${MODEL} /model
# Of the versions that may be there, the one that is pointed to.
RUN mkdir /baked && if [ "$WEIGHTS" = baked ]; then \
        version=$(python -c 'import json; print(json.load(open("/model/latest.json"))["version"])') \
        && cp -r /model/latest.json "/model/$version" /baked; fi

# What changes most often comes last: a change of the code pushes its own layer and nothing else.
FROM ${BASE}
COPY --from=packages /packages /packages
COPY --from=weights /baked /function/model/bundled
COPY --from=code /function /function
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1
WORKDIR /function
USER 1000
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["handler.handle"]
