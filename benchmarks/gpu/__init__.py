"""Everything about a GPU that can be measured in half an hour, by one command: `python -m benchmarks.gpu --out FILE --budget SECONDS`."""
