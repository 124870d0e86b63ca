# make demo    a WAV from a real prediction by the real server, from nothing but Python 3.11
# make test    everything that is tested; `make quick` leaves the slow tests out
# make lint    ruff and pyright
# make serve   the server itself, on PORT, with MODEL
# make gateway a page and the OpenAI speech API on port 8000, with a server and MODEL of its own behind them
# make weights the checkpoint MODEL, fetched into weights/, for an image that has it
#
# TORCH_INDEX names a package index to take torch from, where the usual one has not the build you want: a CPU build for one.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=

MODEL ?= demo
PORT ?= 5000
TEXT ?= Hello, my name is Bark. It is a fine day, and I have something to say.
SEED ?=
VOICE ?=
# Taken as it stands, dollar signs and quotes and all.
export SPOKEN := $(value TEXT)
export SEED VOICE

BIN := $(VENV)/bin
# Files side by side, a process for each core but no more than gains; the tests of a file share what is slow to make. In the order of their
# names: the files with most tests first would leave the benchmarks, few and slow, to one process at the end.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo serve gateway test quick lint weights schema clean

demo: $(VENV)/.serve
	@echo "Starting the Cog server with the model $(MODEL) …"
	@$(BIN)/python scripts/predict.py --model "$(MODEL)" -o out.wav -i prompt="$$SPOKEN" \
		$${SEED:+-i seed="$$SEED"} $${VOICE:+-i history_prompt="$$VOICE"}
	@printf 'It said: %s\n' "$$SPOKEN"
	@echo "Listen: any player opens out.wav; aplay out.wav (Linux), afplay out.wav (macOS)."
	@echo "See how it was made: $(BIN)/python -m bark_core info out.wav"

serve: $(VENV)/.serve schema
	PATH="$(abspath $(BIN)):$$PATH" BARK_MODEL="$(MODEL)" MALLOC_ARENA_MAX=2 PORT="$(PORT)" LOG_FORMAT=console \
		COG_PREDICT_TYPE_STUB=predict.py:Predictor $(BIN)/python -m cog.server.http --host 127.0.0.1

gateway: $(VENV)/.serve
	$(BIN)/python -m bark_core gateway --model "$(MODEL)"

test: $(VENV)/.dev
	$(PYTEST)

quick: $(VENV)/.dev
	$(PYTEST) -m "not slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

weights: $(VENV)/.serve
	$(BIN)/python -m bark_core fetch "$(MODEL)" --to "weights/$(MODEL)"

schema: $(VENV)/.serve
	$(BIN)/python scripts/schema.py

# torch goes first and alone, so that whatever needs it takes the build that was asked for.
$(VENV)/.serve: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) and installing into it; torch is large, so this takes minutes."
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) --editable '.[serve,gateway,sound]'
	@touch $@

$(VENV)/.dev: $(VENV)/.serve
	$(PIP) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .cog .pytest_cache .ruff_cache build *.egg-info out.wav
