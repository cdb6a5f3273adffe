"""The AWS infrastructure as code: one module per capability, composed by `stack.py`."""
