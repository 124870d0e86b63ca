# The gateway alone: no model, no torch, some 400 MB. From the project's folder:
#     docker build -f deploy/gateway.Dockerfile -t bark-gateway .
FROM python:3.11-slim
# What bark_core/gateway imports, and the rooms beneath it; python-stretch is for speeds other than 1.
RUN pip install --no-cache-dir \
    av==18.1.0 \
    h11==0.16.0 \
    httpx==0.28.1 \
    numpy==2.4.6 \
    python-stretch==0.3.1 \
    scipy==1.17.1 \
    soundfile==0.14.0 \
    starlette==1.10.0 \
    uvicorn==0.54.0
WORKDIR /src
COPY bark_core bark_core
COPY playground playground
USER nobody
EXPOSE 8000
ENTRYPOINT ["python", "-m", "bark_core", "gateway", "--host", "0.0.0.0"]
