"""The recipe that made weights/demo, end to end: one module a step, each re-runnable with `python -m training.STEP`."""
