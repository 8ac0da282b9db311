# The Lambda function's image. Build arguments choose the base and the wheel of torch:
#   docker build --build-arg TORCH=1.5.0+cpu --build-arg WHEELS=https://download.pytorch.org/whl/torch_stable.html .
# is a gigabyte smaller than the default, whose wheel on the package index also holds CUDA.
ARG BASE=public.ecr.aws/docker/library/python:3.8-slim-bookworm
FROM ${BASE} AS packages
ARG TORCH=1.5.0
ARG WHEELS=
WORKDIR /build
COPY requirements.txt constraints.txt ./
# Serving imports neither torchvision nor facenet-pytorch's code, only the detector's weights that come with the latter.
RUN grep -vE '^(torch|torchvision|facenet-pytorch)==' requirements.txt > serving.txt \
    && pip install --no-cache-dir --target /packages -c constraints.txt ${WHEELS:+-f ${WHEELS}} \
        "torch==${TORCH}" awslambdaric -r serving.txt \
    && pip install --no-cache-dir --target /packages --no-deps -c constraints.txt facenet-pytorch

FROM ${BASE}
COPY --from=packages /packages /packages
ENV PYTHONPATH=/packages PYTHONUNBUFFERED=1
WORKDIR /function
COPY model ./model
COPY api ./api
COPY handler.py openapi.yaml ./
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["handler.handle"]
